#include "handlers/testing.hpp"

#include "handlers/args.hpp"

#include <utility>

namespace troupe {

namespace {

/// One sleeping run. Lives as long as its timer is armed; everything but the stop callback itself
/// happens on the loop's thread.
class nap : public std::enable_shared_from_this<nap> {
public:
  nap(job_run_ptr run, completion done, std::chrono::milliseconds time, io_loop& loop)
      : run_(std::move(run)), done_(std::move(done)), time_(time), loop_(loop) {}

  void start() {
    timer_ = loop_.timer();
    timer_->after(time_, [self = shared_from_this()] {
      self->end(completed("{\"slept_ms\":" + std::to_string(self->time_.count()) + "}"));
    });
    on_stop_.emplace(run_->stop, [weak = weak_from_this(), &loop = loop_] {
      loop.post([weak] {
        if (auto self = weak.lock())
          self->end(failed("stopped while asleep"));
      });
    });
  }

private:
  void end(job_result result) {
    timer_->cancel(); // lets go of the callback, which holds this
    done_(std::move(result));
  }

  job_run_ptr run_;
  completion done_;
  std::chrono::milliseconds time_;
  io_loop& loop_;
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

void add_test_kinds(handler_table& kinds, io_loop& loop) {
  kinds["noop"] = [](const job_run_ptr&, const completion& done) { done(completed()); };
  kinds["echo"] = [](const job_run_ptr& run, const completion& done) {
    done(completed(run->args));
  };
  kinds["sleep"] = make_sleep(loop);
  kinds["fail"] = run_fail;
}

} // namespace troupe
