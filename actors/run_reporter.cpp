#include "actors/run_reporter.hpp"

#include "messages/utf8.hpp"

#include <caf/actor_cast.hpp>
#include <caf/send.hpp>

#include <algorithm>
#include <cmath>

namespace troupe {

namespace {

/// Cleaning may make a text longer, so it is cut afterwards, and before for the sake of its cost.
std::string storable(std::string_view text, std::size_t limit) {
  auto clean = clean_utf8(text.substr(0, limit + 4));
  clean.resize(cut_utf8(clean, limit).size());
  return clean;
}

} // namespace

run_reporter::run_reporter(run_key run, const logbook_actor& to)
    : run_(run), to_(caf::actor_cast<caf::weak_actor_ptr>(to)) {}

template<class Message>
void run_reporter::send(Message what) {
  spoke_ = true;
  if (auto strong = caf::actor_cast<logbook_actor>(to_))
    caf::anon_send(strong, std::move(what));
}

void run_reporter::progress(std::optional<double> percent, std::string_view message) {
  if (percent && std::isnan(*percent))
    percent.reset();
  if (percent)
    percent = std::clamp(*percent, 0.0, 100.0);
  auto next = std::make_shared<const told_progress>(
      told_progress{run_, percent, storable(message, limits::message_bytes)});
  if (!latest_.exchange(std::move(next)))
    send(shared_from_this());
}

void run_reporter::log(line_level level, std::string_view text) {
  auto line = storable(text, limits::line_bytes);
  const bool fits = lines_.fetch_add(1) < limits::log_lines
                    && bytes_.fetch_add(line.size()) + line.size() <= limits::log_bytes;
  if (fits && !full_.load())
    return send(told_line{run_, level, std::move(line)});
  if (!full_.exchange(true))
    send(told_line{run_, line_level::warn,
                   "the log of this attempt is full; what follows is left out"});
}

} // namespace troupe
