#include "tests/support/drive.hpp"

#include <algorithm>
#include <poll.h>
#include <stdexcept>

namespace troupe::tests {

namespace {

// A sanitizer build on a busy machine is slow; a passing test never waits for it.
constexpr std::chrono::seconds patience{60};

void wait_for(int fd, short events, std::chrono::steady_clock::time_point until) {
  auto left =
      std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
  pollfd watched{fd, events, 0};
  ::poll(&watched, 1, static_cast<int>(std::max<long>(left.count(), 0)));
}

bool establish(db::connecting& attempt) {
  for (;;) {
    switch (attempt.step()) {
    case db::connecting::want::read:
      wait_for(attempt.socket(), POLLIN, attempt.deadline());
      break;
    case db::connecting::want::write:
      wait_for(attempt.socket(), POLLOUT, attempt.deadline());
      break;
    case db::connecting::want::done:
      return true;
    case db::connecting::want::failed:
      return false;
    }
  }
}

db::connect_options options_for(const std::string& url) {
  db::connect_options options;
  options.url = url;
  options.application_name = "troupe test";
  return options;
}

} // namespace

db::connection connect(const db::connect_options& options) {
  auto attempt = db::connecting::start(options);
  if (!establish(attempt))
    throw std::runtime_error(attempt.error());
  return std::move(attempt).produce();
}

db::connection connect(const std::string& url) {
  return connect(options_for(url));
}

db::db_failure connect_failure(const db::connect_options& options) {
  auto attempt = db::connecting::start(options);
  if (establish(attempt))
    throw std::runtime_error("the connection was made");
  return attempt.failure();
}

db::db_failure connect_failure(const std::string& url) {
  return connect_failure(options_for(url));
}

void step(db::connection& on) {
  const bool waited = on.wants_write();
  on.flush();
  if (on.broken() || (waited && !on.wants_write())) // the caller may send more; nothing need come
    return;
  short events = POLLIN;
  if (on.wants_write())
    events |= POLLOUT;
  pollfd watched{on.socket(), events, 0};
  auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(patience);
  if (::poll(&watched, 1, static_cast<int>(limit.count())) == 0)
    throw std::runtime_error("the server did not answer in time");
  if (watched.revents & POLLOUT)
    on.on_writable();
  if (watched.revents & ~POLLOUT)
    on.on_readable();
}

std::vector<db::finished> answers(db::connection& on, std::size_t count) {
  std::vector<db::finished> all;
  while (all.size() < count) {
    if (auto answer = on.next()) {
      all.push_back(std::move(*answer));
      continue;
    }
    if (on.broken())
      throw std::runtime_error("the connection broke: " + on.why_broken().message);
    step(on);
  }
  return all;
}

db::finished ask(db::connection& on, const db::query& what) {
  auto token = on.submit(what);
  auto answer = std::move(answers(on, 1).front());
  if (answer.token != token)
    throw std::runtime_error("another statement was answered");
  return answer;
}

db::result rows(db::connection& on, const db::query& what) {
  auto answer = ask(on, what);
  if (const auto* why = std::get_if<db::db_failure>(&answer.outcome))
    throw std::runtime_error(std::string{what.what().name} + ": " + why->message);
  return std::get<db::result>(answer.outcome);
}

db::db_failure refusal(db::connection& on, const db::query& what) {
  auto answer = ask(on, what);
  if (!std::holds_alternative<db::db_failure>(answer.outcome))
    throw std::runtime_error(std::string{what.what().name} + " succeeded");
  return std::get<db::db_failure>(answer.outcome);
}

} // namespace troupe::tests
