// See peer.hpp: an answer's way out, and what is told of it to logs, metrics and traces.
#include "http/access_log.hpp"
#include "http/gzip.hpp"
#include "http/peer.hpp"
#include "messages/log.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <utility>

namespace troupe::http {

/// Shared by the copies of one responder: the first answer counts; none is a 503.
struct peer::pending_answer {
  pending_answer(std::shared_ptr<peer> p, std::uint64_t s, bool g)
      : to(std::move(p)), serial(s), gzip(g) {}
  pending_answer(const pending_answer&) = delete;
  pending_answer& operator=(const pending_answer&) = delete;
  ~pending_answer() {
    give(problem_response(to_problem({errc::stopping, "the engine let go of this request"})));
  }

  void give(response answer) {
    if (given.exchange(true))
      return;
    compress(answer, gzip, to->hub_->limits().gzip_bytes);
    const auto loop = to->hub_->loop();
    if (loop.running_in_this_thread() && to->dispatching_) {
      to->ready_ = std::move(answer);
      return;
    }
    net::post(loop, [peer = to, serial = serial, answer = std::move(answer)]() mutable {
      peer->deliver(serial, std::move(answer));
    });
  }

  std::shared_ptr<peer> to;
  std::uint64_t serial;
  bool gzip; ///< the client takes it
  std::atomic<bool> given{false};
};

responder peer::make_responder() {
  auto pending =
      std::make_shared<pending_answer>(shared_from_this(), serial_, accepts_gzip(reader_.head()));
  return [pending = std::move(pending)](response answer) { pending->give(std::move(answer)); };
}

void peer::deliver(std::uint64_t serial, response answer) {
  if (serial == serial_ && phase_ == phase::answering && write(std::move(answer)))
    run();
}

bool peer::refuse(const refusal& why) {
  count_rejected(rejection_of(why.status));
  leave_head();
  if (request_id_.empty()) {
    request_id_ = hub_->new_request_id();
    answer_begun_ = clock::now();
  }
  return respond_and_close(problem_response(make_problem(why.status, why.code, why.detail)));
}

bool peer::respond_and_close(response answer) {
  ++serial_; // an answer that comes later is too late
  keep_alive_ = false;
  return write(std::move(answer));
}

/// An answer that only shows something has to fit; what was done has to be told, and probes and
/// metrics say how the node is just then.
bool peer::has_room_for(const response& answer) {
  const auto bytes =
      head_only_ || answer.body.size() <= hub_->limits().buffer_bytes ? 0 : answer.body.size();
  if (answer_room_.take(bytes))
    return true;
  if (reader_.head().method == "GET" && (route_ == nullptr || !route_->untraced))
    return false;
  answer_room_.hold(bytes);
  return true;
}

bool peer::write(response answer) {
  if (answer.stream && !head_only_)
    return begin_stream(std::move(answer));
  if (!has_room_for(answer)) {
    count_rejected(rejection::no_room);
    answer = no_room();
  }
  const auto& head = reader_.head();
  if (answer.fault)
    answer.body = to_json(*answer.fault, reason_phrase(answer.status),
                          head.target.substr(0, head.target.find('?')), request_id_);
  keep_alive_ = keep_alive_ && !hub_->stopping();
  out_head_.clear();
  append_head(out_head_, answer,
              {hub_->date(), request_id_, keep_alive_, head.version, traceparent_, rate_fields_});
  out_body_ = head_only_ || !has_content(answer.status) ? std::string{} : std::move(answer.body);
  status_ = answer.status;
  sent_ = out_body_.size();
  written_ = 0;
  enter(phase::writing, hub_->limits().write);
  return write_some();
}

bool peer::write_some() {
  const auto total = out_head_.size() + out_body_.size();
  while (written_ < total) {
    const auto in_head = std::min(written_, out_head_.size());
    error_code ec;
    const auto count =
        transport_.write_some(std::string_view{out_head_}.substr(in_head),
                              std::string_view{out_body_}.substr(written_ - in_head), ec);
    if (ec == net::error::would_block || ec == net::error::try_again) {
      wait_writable();
      return false;
    }
    if (ec) {
      close();
      return false;
    }
    written_ += count;
    if (!stream_) // a piece has to be taken whole in that time
      enter(phase::writing, hub_->limits().write);
  }
  return stream_ ? fetch() : after_write();
}

void peer::wait_writable() {
  transport_.async_wait_writable([self = shared_from_this()](const error_code& ec) {
    if (self->phase_ != phase::writing)
      return;
    if (ec)
      self->close();
    else if (self->write_some())
      self->run();
  });
}

void peer::export_span(clock::duration took) {
  const auto& head = reader_.head();
  std::vector<span> made(1);
  auto& out = made.front();
  out.self = span_->self;
  out.parent = span_->parent;
  const std::string verb{parse_method(head.method) ? std::string_view{head.method} : "_OTHER"};
  out.name = verb;
  out.attributes = {{"http.request.method", verb}, {"url.scheme", transport_.scheme()}};
  if (route_ != nullptr) {
    out.name += " " + std::string{route_->pattern};
    out.attributes.emplace_back("http.route", std::string{route_->pattern});
  }
  if (status_ != 0)
    out.attributes.emplace_back("http.response.status_code", std::int64_t{status_});
  out.failed = status_ == 0 || status_ >= 500;
  out.end = std::chrono::system_clock::now();
  out.start = out.end - std::chrono::duration_cast<std::chrono::system_clock::duration>(took);
  hub_->spans()->add(std::move(made));
}

void peer::note_answer(bool whole) {
  const auto took = clock::now() - answer_begun_;
  if (status_ != 0)
    hub_->requests().answered(route_, status_, took);
  if (hub_->spans() != nullptr && span_ && span_->self.sampled())
    export_span(took);
  if (!log::enabled(log::level::debug))
    return;
  const auto& head = reader_.head();
  log::debug("access", access_line({head.method, head.target, status_, sent_, took, request_id_,
                                    address_, whole, traceparent_}));
}

bool peer::after_write() {
  note_answer(true);
  if (out_body_.capacity() > 64 * 1024)
    std::string{}.swap(out_body_);
  answer_room_.hold(0);
  request_id_.clear();
  traceparent_.clear();
  rate_fields_.clear();
  span_.reset();
  route_ = nullptr;
  head_only_ = false;
  ++served_;
  if (!keep_alive_) {
    linger();
    return false;
  }
  reader_.next();
  body_room_.hold(reader_.body_memory());
  if (reader_.has_bytes())
    enter(phase::head, hub_->limits().head);
  else
    enter(phase::idle, hub_->limits().idle);
  return true;
}

/// Closing with unread bytes in the socket would reset the connection, and the client might never
/// see the answer. So: no more from us, and what still comes is read and thrown away for a while.
void peer::linger() {
  error_code ec;
  transport_.end_sending(ec);
  if (ec)
    return close();
  enter(phase::lingering, hub_->limits().linger);
  drained_ = 0;
  drain(0);
}

void peer::drain(std::size_t count) {
  drained_ += count;
  if (drained_ > hub_->limits().linger_bytes)
    return close();
  if (reading_)
    return;
  reading_ = true;
  out_body_.resize(4096);
  transport_.async_read_raw(out_body_,
                            [self = shared_from_this()](const error_code& ec, std::size_t got) {
                              self->reading_ = false;
                              if (self->phase_ != phase::lingering)
                                return;
                              if (ec)
                                self->close();
                              else
                                self->drain(got);
                            });
}

} // namespace troupe::http
