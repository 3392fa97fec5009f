#include "db/ask_once.hpp"

#include <algorithm>
#include <poll.h>
#include <variant>

namespace troupe::db {

namespace {

using clock = std::chrono::steady_clock;

/// What poll() said of the socket; 0: nothing until then.
short wait_for(int fd, short events, clock::time_point until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock::now()).count();
  pollfd watched{fd, events, 0};
  ::poll(&watched, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000)));
  return watched.revents;
}

connection connect(const connect_options& where) {
  auto attempt = connecting::start(where);
  for (;;) {
    switch (attempt.step()) {
    case connecting::want::read:
      wait_for(attempt.socket(), POLLIN, attempt.deadline());
      break;
    case connecting::want::write:
      wait_for(attempt.socket(), POLLOUT, attempt.deadline());
      break;
    case connecting::want::done:
      return std::move(attempt).produce();
    case connecting::want::failed:
      throw db_error(attempt.failure());
    }
  }
}

} // namespace

result ask_once(const connect_options& where, const query& what,
                std::chrono::milliseconds patience) {
  auto on = connect(where);
  const auto until = clock::now() + patience;
  on.submit(what);
  on.flush();
  for (;;) {
    if (auto answer = on.next()) {
      if (auto* why = std::get_if<db_failure>(&answer->outcome))
        throw db_error(std::move(*why));
      return std::get<result>(std::move(answer->outcome));
    }
    if (clock::now() >= until)
      throw db_error(lost_after_sending(what.what().name, "no answer came in time"));
    const auto events = static_cast<short>(on.wants_write() ? POLLIN | POLLOUT : POLLIN);
    const auto ready = wait_for(on.socket(), events, until);
    if ((ready & POLLOUT) != 0)
      on.on_writable();
    if ((ready & ~POLLOUT) != 0)
      on.on_readable();
  }
}

} // namespace troupe::db
