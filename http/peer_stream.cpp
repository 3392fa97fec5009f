// See peer.hpp: an answer that comes in pieces. At most one is held, and asked for when the one
// before is with the socket. What cannot go on ends the connection without the last chunk (where
// there are none: by a reset), so that nobody takes it for whole. The client's end of the
// connection is watched while a piece is awaited: a closed one ends the source, half-closed or not.
#include "http/peer.hpp"
#include "messages/log.hpp"

#include <boost/asio/post.hpp>

#include <array>
#include <charconv>
#include <utility>

namespace troupe::http {

/// The first answer counts; none is a failure.
struct peer::pending_piece {
  pending_piece(std::shared_ptr<peer> p, std::uint64_t s) : to(std::move(p)), serial(s) {}
  pending_piece(const pending_piece&) = delete;
  pending_piece& operator=(const pending_piece&) = delete;
  ~pending_piece() { give(failure{errc::stopping, "the engine let go of this stream"}); }

  void give(text_source::piece piece) {
    if (!given.exchange(true))
      net::post(to->hub_->loop(), [peer = to, serial = serial, piece = std::move(piece)]() mutable {
        peer->on_piece(serial, std::move(piece));
      });
  }

  std::shared_ptr<peer> to;
  std::uint64_t serial;
  std::atomic<bool> given{false};
};

bool peer::begin_stream(response answer) {
  stream_ = std::move(answer.stream);
  answer.stream.reset();
  owed_ = answer.length;
  chunked_ = !owed_ && reader_.head().version >= 11;
  keep_alive_ = keep_alive_ && (chunked_ || owed_);
  watching_ = false; // one that is left from an earlier stream does no harm
  stream_head_ = std::move(answer);
  return fetch();
}

bool peer::fetch() {
  enter(phase::fetching, hub_->limits().piece);
  ++serial_;
  watch();
  const auto pending = std::make_shared<pending_piece>(shared_from_this(), serial_);
  try {
    stream_->next([pending](text_source::piece piece) { pending->give(std::move(piece)); });
  } catch (const std::exception& e) {
    pending->give(failure{errc::internal, e.what()});
  }
  return false;
}

void peer::on_piece(std::uint64_t serial, text_source::piece piece) {
  if (serial != serial_ || phase_ != phase::fetching)
    return;
  bool goes_on = false;
  if (const auto* why = std::get_if<failure>(&piece))
    goes_on = fail_stream(*why);
  else if (auto& bytes = std::get<std::optional<std::string>>(piece); !bytes)
    goes_on = end_stream();
  else if (bytes->empty())
    fetch();
  else if (owed_ && bytes->size() > *owed_)
    goes_on = fail_stream({errc::internal, "the text is longer than its length"});
  else
    goes_on = write_piece(*std::move(bytes));
  if (goes_on)
    run();
}

bool peer::write_piece(std::string bytes) {
  out_head_.clear();
  if (stream_head_) {
    keep_alive_ = keep_alive_ && !hub_->stopping();
    status_ = stream_head_->status;
    append_head(out_head_, *stream_head_,
                {hub_->date(), request_id_, keep_alive_, reader_.head().version, traceparent_,
                 rate_fields_});
    stream_head_.reset();
  }
  sent_ += bytes.size();
  if (owed_)
    *owed_ -= bytes.size();
  if (chunked_ && !bytes.empty()) {
    std::array<char, 20> size;
    out_head_.append(size.data(),
                     std::to_chars(size.data(), size.data() + size.size(), bytes.size(), 16).ptr);
    out_head_ += "\r\n";
    bytes += "\r\n";
  }
  if (chunked_ && !stream_)
    bytes += "0\r\n\r\n";
  out_body_ = std::move(bytes);
  written_ = 0;
  enter(phase::writing, hub_->limits().write);
  return write_some();
}

bool peer::end_stream() {
  if (owed_.value_or(0) > 0)
    return fail_stream({errc::internal, "the text is shorter than its length"});
  stream_.reset();
  return write_piece({});
}

bool peer::fail_stream(const failure& why) {
  stream_.reset();
  ++serial_;
  if (std::exchange(stream_head_, std::nullopt)) { // nothing has gone out
    auto fault =
        why.code == errc::timed_out ? make_problem(504, "timed_out", why.detail) : to_problem(why);
    return write(problem_response(std::move(fault)));
  }
  log::warn("http", "an export was cut off (request " + request_id_ + "): " + why.detail);
  reset();
  return false;
}

void peer::watch() {
  if (std::exchange(watching_, true))
    return;
  transport_.async_wait_readable([self = shared_from_this()](const error_code& ec) {
    self->watching_ = false;
    if (ec || self->phase_ != phase::fetching)
      return; // what is being written finds out by itself, and the next piece watches again
    switch (self->transport_.peek()) {
    case transport::sight::nothing:
      return self->watch();
    case transport::sight::end:
      return self->close();
    case transport::sight::bytes:
      self->watching_ = true; // the next request has come: nothing more is seen from here on
    }
  });
}

/// Without the last chunk a close is enough; without chunks only a reset tells.
void peer::reset() {
  if (!chunked_)
    transport_.reset_on_close();
  close();
}

} // namespace troupe::http
