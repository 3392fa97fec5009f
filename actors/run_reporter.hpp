// What a run says, on its way to LOGBOOK: cut to what may be stored, clean UTF-8, and never more
// than its attempt may have. Made by RUNNER for each run; the handler calls it from any thread. Of
// its progress the last word is on its way at most: a handler may say it a million times a second.
#pragma once

#include "messages/interfaces.hpp"
#include "messages/run_reports.hpp"

#include <atomic>
#include <memory>

namespace troupe {

class run_reporter;
using run_reporter_ptr = std::shared_ptr<run_reporter>;

} // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::told_line)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::run_reporter_ptr)

namespace troupe {

/// LOGBOOK: stores what the runs of this node say.
using logbook_actor = caf::typed_actor<
    // A line; how long ago it was said is not filled in.
    caf::reacts_to<told_line>,
    // This run has progress to be taken.
    caf::reacts_to<run_reporter_ptr>,
    // Answered once all that came before this is stored, or could not be.
    caf::replies_to<drain_atom>::with<bool>>;

class run_reporter final : public run_listener, public std::enable_shared_from_this<run_reporter> {
public:
  run_reporter(run_key run, const logbook_actor& to);

  void progress(std::optional<double> percent, std::string_view message) override;
  void log(line_level level, std::string_view text) override;

  /// It has said something.
  bool spoke() const { return spoke_.load(); }
  /// LOGBOOK's: the last word; null when it was taken already.
  std::shared_ptr<const told_progress> take() { return latest_.exchange(nullptr); }

private:
  template<class Message>
  void send(Message what);

  run_key run_;
  caf::weak_actor_ptr to_; ///< a handler may outlive the engine
  std::atomic<std::shared_ptr<const told_progress>> latest_;
  std::atomic<std::size_t> lines_{0};
  std::atomic<std::size_t> bytes_{0};
  std::atomic<bool> full_{false};
  std::atomic<bool> spoke_{false};
};

} // namespace troupe
