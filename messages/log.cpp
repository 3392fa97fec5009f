// The way from any room to the installed log sink: two atomics, no lock on the speaking side.
#include "messages/log.hpp"

#include <atomic>
#include <forward_list>
#include <mutex>
#include <utility>

namespace troupe::log {

namespace {

std::atomic<const sink*> current{nullptr};
std::atomic<level> lowest_level{level::info};

/// Owns every sink there ever was. Never destroyed: threads may log while the process exits.
struct sink_archive {
  std::mutex guard;
  std::forward_list<sink> sinks;
};

sink_archive& archive() {
  static auto* const kept = new sink_archive;
  return *kept;
}

void say(level of, std::string_view who, std::string_view text) {
  if (of < lowest_level.load(std::memory_order_relaxed))
    return;
  if (const sink* to = current.load(std::memory_order_acquire))
    (*to)(of, who, text);
}

} // namespace

void set_sink(sink to) {
  if (!to) {
    current.store(nullptr, std::memory_order_release);
    return;
  }
  sink_archive& kept = archive();
  const std::lock_guard lock(kept.guard);
  kept.sinks.push_front(std::move(to));
  current.store(&kept.sinks.front(), std::memory_order_release);
}

void set_level(level lowest) {
  lowest_level.store(lowest, std::memory_order_relaxed);
}

bool enabled(level of) {
  return of != level::off && of >= lowest_level.load(std::memory_order_relaxed)
         && current.load(std::memory_order_relaxed) != nullptr;
}

void debug(std::string_view who, std::string_view text) {
  say(level::debug, who, text);
}

void info(std::string_view who, std::string_view text) {
  say(level::info, who, text);
}

void warn(std::string_view who, std::string_view text) {
  say(level::warn, who, text);
}

void error(std::string_view who, std::string_view text) {
  say(level::error, who, text);
}

} // namespace troupe::log
