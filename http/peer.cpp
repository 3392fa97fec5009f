// See peer.hpp: a request's way in, up to its handler.
#include "http/peer.hpp"

#include "http/rate_limit.hpp"

#include <exception>
#include <utility>

namespace troupe::http {

peer::peer(std::shared_ptr<hub> owner, transport bytes,
           std::shared_ptr<const admission_rules> rules)
    : hub_(std::move(owner)), transport_(std::move(bytes)), rules_(std::move(rules)),
      reader_(hub_->limits()), body_room_(hub_->bytes()), answer_room_(hub_->answer_bytes()) {}

void peer::start() {
  auto address = transport_.open();
  if (!address)
    return; // gone already; the socket closes with us
  address_ = *std::move(address);
  caller_ = caller_of(address_);
  joined_ = hub_->add(shared_from_this(), caller_);
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
    hub_->remove(*this, caller_);
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
  const auto now = reader_.advance();
  if (!body_room_.take(reader_.body_memory()))
    return refuse_body();
  switch (now) {
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
      &head, caller_};
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
    if (auto refused = hub_->spend(said.who.get(), caller_, rate_fields_))
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
  const auto length = borders.content_length.value_or(0);
  if (length <= route_->body.limit && !request_reader::is_small(length)
      && !hub_->bytes().fits(length))
    return refuse_body(); // before it has been sent
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

bool peer::refuse_body() {
  count_rejected(rejection::no_room);
  return respond_and_close(no_room());
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

} // namespace troupe::http
