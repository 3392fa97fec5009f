#include "handlers/testing.hpp"

#include "handlers/args.hpp"
#include "handlers/trouble.hpp"

#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace troupe {

namespace {

/// One line of the effects file. Written whole or not at all, by one call, so that a process that
/// is killed leaves what it wrote.
void leave_line(const std::filesystem::path& file, std::string_view what, const job_run& run) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now); // the same for all processes of the machine
  const auto line = std::string(what) + " " + std::to_string(run.id.value) + " "
                    + std::to_string(run.attempt) + " " + std::to_string(getpid()) + " "
                    + std::to_string(now.tv_sec * 1'000'000'000 + now.tv_nsec) + "\n";
  std::filesystem::create_directories(file.parent_path());
  const int fd = open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  const bool written = fd >= 0 && write(fd, line.data(), line.size()) == ssize_t(line.size());
  const int why = errno;
  if (fd >= 0)
    close(fd);
  if (!written)
    throw std::system_error(why, std::generic_category(), file.string());
}

/// One sleeping run. Lives as long as its timer is armed; everything but the stop callback itself
/// happens on the loop's thread.
class nap : public std::enable_shared_from_this<nap> {
public:
  nap(job_run_ptr run, completion done, std::chrono::milliseconds time, io_loop& loop,
      std::filesystem::path effects = {})
      : run_(std::move(run)), done_(std::move(done)), time_(time), loop_(loop),
        effects_(std::move(effects)) {}

  void start() {
    if (!tell("begin"))
      return;
    timer_ = loop_.timer();
    timer_->after(time_, [self = shared_from_this()] {
      self->end("end", completed("{\"slept_ms\":" + std::to_string(self->time_.count()) + "}"));
    });
    on_stop_.emplace(run_->stop, [weak = weak_from_this(), &loop = loop_] {
      loop.post([weak] {
        if (auto self = weak.lock())
          self->end("stopped", failed("stopped while asleep"));
      });
    });
  }

private:
  /// False when the effects file cannot be written, which ends the run.
  bool tell(std::string_view what) {
    try {
      if (!effects_.empty())
        leave_line(effects_, what, *run_);
      return true;
    } catch (const std::exception& e) {
      done_(failed(e.what()));
      return false;
    }
  }

  void end(std::string_view how, job_result result) {
    timer_->cancel(); // lets go of the callback, which holds this
    if (!std::exchange(over_, true) && tell(how))
      done_(std::move(result));
  }

  job_run_ptr run_;
  completion done_;
  std::chrono::milliseconds time_;
  io_loop& loop_;
  std::filesystem::path effects_; ///< empty: none
  bool over_ = false;
  std::unique_ptr<io_timer> timer_;
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;
};

async_handler make_sleep(io_loop& loop) {
  return [&loop](job_run_ptr run, completion done) {
    const auto args = read_sleep_args(run->args);
    if (const auto* bad = std::get_if<bad_args>(&args))
      return done(discarded(bad->reason));
    auto sleeper = std::make_shared<nap>(std::move(run), std::move(done),
                                         std::get<sleep_args>(args).time, loop);
    loop.post([sleeper] { sleeper->start(); });
  };
}

async_handler make_effect(io_loop& loop, std::filesystem::path file) {
  return [&loop, file = std::move(file)](job_run_ptr run, completion done) {
    const auto args = read_effect_args(run->args);
    if (const auto* bad = std::get_if<bad_args>(&args))
      return done(discarded(bad->reason));
    auto sleeper = std::make_shared<nap>(std::move(run), std::move(done),
                                         std::get<effect_args>(args).time, loop, file);
    loop.post([sleeper] { sleeper->start(); });
  };
}

void run_fail(const job_run_ptr& run, const completion& done) {
  const auto args = read_fail_args(run->args);
  if (const auto* bad = std::get_if<bad_args>(&args))
    return done(discarded(bad->reason));
  const auto& wish = std::get<fail_args>(args);
  if (run->attempt <= wish.times)
    return done(failed(wish.message));
  done(completed("{\"attempt\":" + std::to_string(run->attempt) + "}"));
}

} // namespace

void add_test_kinds(handler_table& kinds, const test_context& context) {
  kinds["noop"] = [](const job_run_ptr&, const completion& done) { done(completed()); };
  kinds["echo"] = [](const job_run_ptr& run, const completion& done) {
    done(completed(run->args));
  };
  kinds["sleep"] = make_sleep(context.loop);
  kinds["fail"] = run_fail;
  kinds["effect"] = make_effect(context.loop, context.effects);
  kinds["trouble"] = make_trouble(context.workers);
}

} // namespace troupe
