// See peer.hpp.
#include "http/peer.hpp"

#include "http/access_log.hpp"
#include "http/gzip.hpp"
#include "messages/log.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <exception>
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

peer::peer(std::shared_ptr<hub> owner, transport bytes,
           std::shared_ptr<const admission_rules> rules)
    : hub_(std::move(owner)), transport_(std::move(bytes)), rules_(std::move(rules)),
      reader_(hub_->limits()) {}

void peer::start() {
  auto address = transport_.open();
  if (!address)
    return; // gone already; the socket closes with us
  address_ = *std::move(address);
  joined_ = hub_->add(shared_from_this(), address_);
  if (!joined_) {
    count_rejected(rejection::connections);
    return;
  }
  enter(phase::head, hub_->limits().head);
  read();
}

void peer::count_rejected(rejection why) {
  ++hub_->counters().http_rejected;
  hub_->requests().rejected(why);
}

void peer::enter(phase next, std::chrono::milliseconds limit) {
  if (next == phase::head && !counted_head_) {
    counted_head_ = true;
    hub_->head_begun();
  }
  phase_ = next;
  deadline_ = clock::now() + limit;
}

void peer::leave_head() {
  if (std::exchange(counted_head_, false))
    hub_->head_ended();
}

void peer::close() {
  if (phase_ == phase::closed)
    return;
  const bool cut =
      phase_ == phase::answering || phase_ == phase::fetching || phase_ == phase::writing;
  if (cut)
    note_answer(false);
  phase_ = phase::closed;
  ++serial_;
  const auto self = shared_from_this(); // the hub may hold the last one
  leave_head();
  stream_.reset();
  transport_.close(!cut);
  if (std::exchange(joined_, false))
    hub_->remove(*this, address_);
}

void peer::finish_up() {
  keep_alive_ = false;
  if (phase_ == phase::idle || (phase_ == phase::head && !reader_.has_bytes()))
    close();
}

bool peer::overdue(clock::time_point now) const {
  if (phase_ == phase::closed)
    return false;
  if (now >= deadline_)
    return true;
  const auto& limits = hub_->limits();
  const auto spent = now - body_begun_;
  if (phase_ != phase::body || spent < limits.body_grace)
    return false;
  const auto seconds = std::chrono::duration<double>(spent).count();
  return static_cast<double>(reader_.body().size())
         < seconds * static_cast<double>(limits.body_rate);
}

void peer::on_overdue() {
  const bool silent = phase_ == phase::head && !reader_.has_bytes();
  if ((phase_ == phase::head && !silent) || phase_ == phase::body) {
    refuse({408, "request_timeout", "the request did not arrive in time"});
  } else if (phase_ == phase::fetching) {
    if (fail_stream({errc::timed_out, "the next piece took too long"}))
      run();
  } else if (phase_ == phase::answering || phase_ == phase::judging) {
    auto late = make_problem(504, "timed_out", "the engine did not answer in time");
    respond_and_close(problem_response(std::move(late)));
  } else {
    close();
  }
}

void peer::read() {
  if (reading_ || phase_ == phase::closed)
    return;
  reading_ = true;
  transport_.async_read_some(reader_.space(),
                             [self = shared_from_this()](const error_code& ec, std::size_t count) {
                               self->reading_ = false;
                               self->on_read(ec, count);
                             });
}

void peer::on_read(const error_code& ec, std::size_t count) {
  if (phase_ == phase::closed)
    return;
  if (phase_ == phase::lingering && !ec)
    return drain(count);
  if (phase_ == phase::writing || phase_ == phase::answering || phase_ == phase::fetching
      || phase_ == phase::judging)
    return; // the connection ends with that answer: what still comes has no meaning
  if (ec && transport_.turned_plain()) {
    refuse({400, "tls_required", "this port speaks TLS: use https"});
    return;
  }
  if (ec)
    return close(); // end of stream within a request is no request
  reader_.received(count);
  if (phase_ == phase::idle)
    enter(phase::head, hub_->limits().head);
  run();
}

void peer::run() {
  while (step()) {
  }
}

bool peer::step() {
  switch (reader_.advance()) {
  case request_reader::progress::need_more:
    read();
    return false;
  case request_reader::progress::head:
    return on_head();
  case request_reader::progress::complete:
    return dispatch();
  case request_reader::progress::refused:
    break;
  }
  return refuse(reader_.why());
}

bool peer::on_head() {
  leave_head();
  answer_begun_ = clock::now();
  status_ = 0;
  sent_ = 0;
  const auto& head = reader_.head();
  const auto& borders = reader_.borders();
  const auto given_id = head.field("x-request-id");
  request_id_ = is_sane_request_id(given_id) ? std::string{given_id} : hub_->new_request_id();
  span_ = hub_->span_of(head);
  traceparent_ = span_ ? to_traceparent(span_->self) : std::string{};
  keep_alive_ = borders.keep_alive && !hub_->draining()
                && served_ + 1 < hub_->limits().requests_per_connection;
  head_only_ = head.method == "HEAD";
  const auto verb = *parse_method(head.method); // the guard lets no other through
  if (auto refused = admit(head, borders, verb, *rules_))
    return reject(*std::move(refused));
  const auto path = head.target.substr(0, head.target.find('?'));
  auto matched = hub_->routes().match(verb, path);
  if (auto* refused = std::get_if<response>(&matched)) {
    if (refused->status >= 400)
      count_rejected(rejection_of(refused->status));
    else
      ++hub_->counters().http_requests;
    return answer_now(std::move(*refused));
  }
  auto& [found, param] = std::get<route_match>(matched);
  route_ = found;
  param_ = std::move(param);
  if (route_->untraced) {
    if (span_ && span_->parent.empty())
      traceparent_.clear();
    span_.reset();
  }
  if (hub_->draining())
    if (auto refused = admit_during_drain(*route_))
      return reject(*std::move(refused));
  return on_route();
}

bool peer::on_route() {
  who_.reset();
  if (hub_->access() == nullptr)
    return admitted({});
  const auto& head = reader_.head();
  const auto question = head.target.find('?');
  const access_control::question asked{
      route_, param_,
      question == std::string_view::npos ? std::string_view{} : head.target.substr(question + 1),
      &head, address_};
  auto said = hub_->access()->judge(
      asked, [self = shared_from_this(), serial = ++serial_](access_control::verdict later) {
        self->on_verdict(serial, std::move(later));
      });
  if (said)
    return admitted(*std::move(said));
  enter(phase::judging, hub_->limits().answer);
  return false;
}

void peer::on_verdict(std::uint64_t serial, access_control::verdict said) {
  if (serial == serial_ && phase_ == phase::judging && admitted(std::move(said)))
    run();
}

bool peer::admitted(access_control::verdict said) {
  if (route_->role != role::anyone)
    if (auto refused = hub_->spend(said.who.get(), address_, rate_fields_))
      return reject(*std::move(refused));
  if (said.refused) {
    ++hub_->counters().http_denied;
    hub_->requests().rejected(rejection_of(said.refused->status));
    return answer_now(*std::move(said.refused));
  }
  who_ = std::move(said.who);
  const auto& borders = reader_.borders();
  if (auto refused = admit_body(*route_, reader_.head(), borders))
    return reject(*std::move(refused));
  reader_.accept_body(route_->body.limit);
  if (borders.has_body()) {
    enter(phase::body, hub_->limits().body);
    body_begun_ = clock::now();
    const bool refused = reader_.advance() == request_reader::progress::refused;
    if (borders.expects_continue && !refused && !reader_.has_bytes()) {
      error_code ec;
      constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      if (transport_.write_some(go_on, {}, ec) != go_on.size())
        return close(), false;
    }
  }
  return true;
}

bool peer::reject(response answer) {
  count_rejected(rejection_of(answer.status));
  return answer_now(std::move(answer));
}

/// A body that nobody reads ends the connection with the answer: its bytes are no request.
bool peer::answer_now(response answer) {
  if (reader_.borders().has_body())
    return respond_and_close(std::move(answer));
  reader_.accept_body(0);
  return write(std::move(answer));
}

bool peer::dispatch() {
  ++hub_->counters().http_requests;
  ++serial_;
  enter(phase::answering, hub_->limits().answer);
  const auto& head = reader_.head();
  const auto question = head.target.find('?');
  request_view request;
  request.verb = *parse_method(head.method);
  request.path = head.target.substr(0, question);
  if (question != std::string_view::npos)
    request.query = head.target.substr(question + 1);
  request.param = std::move(param_);
  request.body = reader_.body();
  request.head = &head;
  request.who = who_.get();
  request.request_id = request_id_;
  request.traceparent = traceparent_;
  dispatching_ = true;
  try {
    route_->handle(request, make_responder());
  } catch (const std::exception& e) {
    ready_ = problem_response(to_problem({errc::internal, e.what()}));
  }
  dispatching_ = false;
  if (!ready_)
    return false; // it comes by deliver()
  ++serial_;
  auto answer = std::move(*ready_);
  ready_.reset();
  return write(std::move(answer));
}

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

bool peer::write(response answer) {
  if (answer.stream && !head_only_)
    return begin_stream(std::move(answer));
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
