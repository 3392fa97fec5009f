// The independent record of the fault tests: writers that insert keys while faults happen, and what
// each was told. At the end the table must agree: every acknowledged key is there once, no refused
// key is there, an unknown one may be either.
#pragma once

#include "messages/errc.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>

namespace troupe::tests {

class ledger {
public:
  using clock = std::chrono::steady_clock;

  std::int64_t next_key() { return ++last_key_; }
  void acknowledged(std::int64_t key) {
    const std::lock_guard lock(guard_);
    acknowledged_.insert(key);
    ++successes_since_mark_;
  }
  void failed(std::int64_t key, errc code) {
    const std::lock_guard lock(guard_);
    (code == errc::outcome_unknown ? unknown_ : refused_).insert(key);
    ++by_code_[to_string(code)];
    last_failure_ = clock::now();
  }
  void answer_took(std::chrono::nanoseconds time) {
    const std::lock_guard lock(guard_);
    slowest_ = std::max(slowest_, time);
  }

  /// From now on successes are counted anew.
  void mark() {
    const std::lock_guard lock(guard_);
    successes_since_mark_ = 0;
    marked_at_ = clock::now();
  }
  std::size_t successes_since_mark() const {
    const std::lock_guard lock(guard_);
    return successes_since_mark_;
  }
  /// How long after the mark somebody was refused last.
  std::chrono::nanoseconds last_failure_after_mark() const {
    const std::lock_guard lock(guard_);
    return last_failure_ - marked_at_;
  }
  std::size_t acknowledged() const {
    const std::lock_guard lock(guard_);
    return acknowledged_.size();
  }
  std::size_t unknown() const {
    const std::lock_guard lock(guard_);
    return unknown_.size();
  }
  std::size_t refused() const {
    const std::lock_guard lock(guard_);
    return refused_.size();
  }
  /// How often this was the answer.
  int told(errc code) const {
    const std::lock_guard lock(guard_);
    const auto found = by_code_.find(to_string(code));
    return found == by_code_.end() ? 0 : found->second;
  }
  std::chrono::nanoseconds slowest() const {
    const std::lock_guard lock(guard_);
    return slowest_;
  }
  std::string summary() const {
    const std::lock_guard lock(guard_);
    std::string text = std::to_string(acknowledged_.size()) + " acknowledged";
    for (const auto& [code, count] : by_code_)
      text += ", " + std::to_string(count) + " " + code;
    return text;
  }
  /// What is wrong with the table, or nothing.
  std::string verdict(const std::multiset<std::int64_t>& stored) const {
    const std::lock_guard lock(guard_);
    for (const auto key : acknowledged_)
      if (stored.count(key) != 1)
        return "acknowledged key " + std::to_string(key) + " is there "
               + std::to_string(stored.count(key)) + " times";
    for (const auto key : refused_)
      if (stored.count(key) != 0)
        return "refused key " + std::to_string(key) + " is there";
    for (const auto key : unknown_)
      if (stored.count(key) > 1)
        return "key " + std::to_string(key) + " of unknown outcome is there more than once";
    return {};
  }

private:
  mutable std::mutex guard_;
  std::atomic<std::int64_t> last_key_{0};
  std::set<std::int64_t> acknowledged_;
  std::set<std::int64_t> refused_;
  std::set<std::int64_t> unknown_;
  std::map<std::string, int> by_code_;
  std::size_t successes_since_mark_ = 0;
  clock::time_point last_failure_;
  clock::time_point marked_at_;
  std::chrono::nanoseconds slowest_{0};
};

} // namespace troupe::tests
