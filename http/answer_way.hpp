// The way back of one question to the engine: it is gone once, also when nobody answers.
#pragma once

#include "messages/requests.hpp"

#include <atomic>
#include <functional>
#include <utility>

namespace troupe::http {

class answer_way {
public:
  explicit answer_way(std::function<void(api_reply)> to) : to_(std::move(to)) {}
  answer_way(const answer_way&) = delete;
  answer_way& operator=(const answer_way&) = delete;
  ~answer_way() { give(failure{errc::stopping, "the engine let go of this request"}); }
  void give(api_reply reply) {
    if (!given_.exchange(true))
      to_(std::move(reply));
  }

private:
  std::function<void(api_reply)> to_;
  std::atomic<bool> given_{false};
};

} // namespace troupe::http
