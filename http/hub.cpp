// See hub.hpp. One timer for all deadlines: arming a timer per request would cost more than most
// requests do.
#include "http/hub.hpp"

#include "http/peer.hpp"
#include "http/time_format.hpp"

#include <boost/asio/post.hpp>

#include <array>
#include <utility>

namespace troupe::http {

namespace {

std::string hex(std::uint64_t value) {
  std::string out(16, '0');
  for (std::size_t i = out.size(); i-- > 0; value >>= 4U)
    out[i] = "0123456789abcdef"[value & 15U];
  return out;
}

} // namespace

hub::hub(net::io_context& loop, const server_limits& limits, services context)
    : loop_(loop.get_executor()), limits_(limits), context_(std::move(context)),
      bytes_(limits_.held_bytes), answer_bytes_(limits_.held_bytes / 2, bytes_),
      sweep_timer_(loop_) {
  if (context_.counters == nullptr)
    context_.counters = &own_counters_;
  context_.requests = &requests_;
  std::random_device seed;
  spans_.seed(static_cast<std::uint64_t>(seed()) << 32U | seed());
  id_prefix_ = hex(static_cast<std::uint64_t>(seed()) << 32U | seed()) + '-';
  events_ = std::make_shared<event_board>(
      context_.ask, [loop = loop_](event_board::task what) { net::post(loop, std::move(what)); },
      counters().token_changes, event_limits{.streams = limits_.event_streams});
  context_.events = events_.get();
  requests_.count_streams([events = events_.get()] { return events->streams(); });
  requests_.count_bytes([this] { return bytes_.held(); });
  add_all_routes(routes_, context_, limits_);
  if (limits_.caller_each.count() > 0)
    callers_.emplace(rate_limits{limits_.caller_burst, limits_.caller_each, limits_.callers});
  if (context_.require_tokens)
    access_ = std::make_shared<access_control>(
        loop_, context_.ask, counters().token_changes,
        access_limits{{limits_.tokens_kept, limits_.token_kept},
                      {limits_.token_failures, limits_.token_failure, limits_.failing_addresses}});
}

std::string_view hub::date() {
  const auto now = std::time(nullptr);
  if (now != date_of_) {
    date_of_ = now;
    date_ = http_date(now);
  }
  return date_;
}

std::string hub::new_request_id() {
  return id_prefix_ + std::to_string(++next_id_);
}

std::optional<hub::request_span> hub::span_of(const request_head& head) {
  std::optional<std::string_view> named;
  bool twice = false; // then nobody knows which one it is
  for (const auto& field : head.fields) {
    if (!iequals(field.name, "traceparent"))
      continue;
    twice = named.has_value();
    named = field.value;
  }
  if (const auto asked = named && !twice ? parse_traceparent(*named) : std::nullopt)
    return request_span{with_span(*asked, spans_()), asked->span_id};
  if (context_.spans == nullptr)
    return std::nullopt;
  if (auto begun = begin_trace(spans_(), spans_(), spans_(), context_.spans->sample_ratio()))
    return request_span{*std::move(begun), {}};
  return std::nullopt;
}

std::optional<response> hub::spend(const token_identity* who, const std::string& address,
                                   std::string& fields) {
  if (!callers_)
    return std::nullopt;
  const auto caller = who != nullptr ? "token " + std::to_string(who->id) : address;
  const auto now = std::chrono::steady_clock::now();
  const auto wait = callers_->must_wait(caller, now);
  if (!wait)
    callers_->note(caller, now);
  fields = rate_fields(callers_->limits(), callers_->allowance_of(caller, now));
  if (!wait)
    return std::nullopt;
  auto fault = make_problem(429, "rate_exceeded", "this caller asks more often than it may");
  fault.retryable = true;
  fault.retry_after = static_cast<int>(wait->count());
  return problem_response(std::move(fault));
}

bool hub::has_room() const {
  return !stopping_ && peers_.size() < limits_.connections
         && heads_incomplete_ < limits_.heads_incomplete;
}

bool hub::add(const std::shared_ptr<peer>& joined, const std::string& address) {
  auto& count = per_address_[address];
  if (count >= limits_.connections_per_address)
    return false;
  ++count;
  joined->place = peers_.size();
  peers_.push_back(joined);
  ++counters().http_connections;
  arm_sweep();
  return true;
}

void hub::remove(peer& gone, const std::string& address) {
  const auto place = gone.place;
  peers_.back()->place = place;
  std::swap(peers_[place], peers_.back());
  const auto kept_until_return = std::move(peers_.back());
  peers_.pop_back();
  --counters().http_connections;
  if (const auto count = per_address_.find(address); --count->second == 0)
    per_address_.erase(count);
  if (on_room_)
    on_room_();
  if (peers_.empty() && stopping_)
    end_stop();
}

void hub::end_stop() {
  sweep_timer_.cancel(); // nothing of ours keeps the loop busy any more
  sweeping_ = false;
  if (on_empty_)
    std::exchange(on_empty_, nullptr)();
}

void hub::head_ended() {
  --heads_incomplete_;
  if (on_room_)
    on_room_();
}

void hub::begin_stop(std::function<void()> done) {
  stopping_ = true;
  events_->close();
  on_empty_ = std::move(done);
  if (peers_.empty())
    return end_stop();
  const auto all = peers_; // closing changes the list
  for (const auto& one : all)
    one->finish_up();
}

void hub::close_all() {
  stopping_ = true;
  const auto all = peers_;
  for (const auto& one : all)
    one->close();
}

void hub::arm_sweep() {
  if (sweeping_)
    return;
  sweeping_ = true;
  sweep_timer_.expires_after(limits_.sweep);
  sweep_timer_.async_wait([weak = weak_from_this()](const error_code& ec) {
    const auto self = weak.lock();
    if (!self || ec)
      return;
    self->sweeping_ = false;
    self->sweep();
  });
}

void hub::sweep() {
  const auto now = std::chrono::steady_clock::now();
  if (draining())
    events_->close();
  events_->tick(now);
  std::vector<std::shared_ptr<peer>> late;
  for (const auto& one : peers_)
    if (one->overdue(now))
      late.push_back(one);
  for (const auto& one : late)
    one->on_overdue();
  if (!peers_.empty())
    arm_sweep();
}

} // namespace troupe::http
