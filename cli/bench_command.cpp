// bench: an engine in this process, a queue of its own, many jobs of a kind of its own. Every run
// is counted here, and compared with what the database tells afterwards.
#include "cli/bench_queue.hpp"
#include "cli/bench_report.hpp"
#include "cli/commands.hpp"
#include "cli/progress_bar.hpp"
#include "cli/progress_display.hpp"
#include "cli/run_ledger.hpp"
#include "cli/signals.hpp"
#include "launcher/bench_statements.hpp"
#include "launcher/engine.hpp"
#include "launcher/log.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace troupe::cli {

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

constexpr auto end_interval = 1ms; ///< between two looks at the engine's counters
constexpr auto database_interval = 20ms;
/// Nothing has ended for so long: does anything go on at all?
constexpr auto doubt_after = 1000ms;
constexpr auto start_interval =
    50ms; ///< a run's start is waited for, between two looks at the time
/// Pickups are 5 to 11 ms apart, so that they meet the engine in different moods.
constexpr auto least_pause = 5ms;
constexpr int pauses = 7;
constexpr auto settle_time = 500ms; ///< until an engine with nothing to do sleeps
constexpr auto bench_grace = 2000ms;
/// The database may take as long as --timeout for the count at the end, within these.
constexpr std::chrono::milliseconds least_count_time = 10s;
constexpr std::chrono::milliseconds most_count_time = 10min;

std::size_t number_of(const job_run& run) {
  std::size_t number = 0;
  const auto digits = std::min(run.args.find_first_of("0123456789"), run.args.size());
  std::from_chars(run.args.data() + digits, run.args.data() + run.args.size(), number);
  return number;
}

job_spec job_of(int number) {
  job_spec job;
  job.kind = bench_name;
  job.queue = bench_name;
  job.args = "{\"n\":" + std::to_string(number) + "}";
  job.max_attempts = 1;
  return job;
}

double seconds_of(steady::duration time) {
  return std::chrono::duration<double>(time).count();
}

/// When the run of the job that is waited for began.
class start_watch {
public:
  void expect(std::size_t job) {
    const std::lock_guard lock(guard_);
    job_ = job;
    began_.reset();
  }
  void begin(std::size_t job, steady::time_point when) {
    const std::lock_guard lock(guard_);
    if (job != job_ || began_)
      return;
    began_ = when;
    came_.notify_all();
  }
  std::optional<steady::time_point> wait_for(std::chrono::milliseconds limit) {
    std::unique_lock lock(guard_);
    came_.wait_for(lock, limit, [this] { return began_.has_value(); });
    return began_;
  }

private:
  std::mutex guard_;
  std::condition_variable came_;
  std::size_t job_ = 0;
  std::optional<steady::time_point> began_;
};

/// Thrown when a signal or --timeout ends it.
struct cut_off {
  exit_code code;
};

class bench_run {
public:
  bench_run(const invocation& wanted, std::string what)
      : wanted_(wanted), bench_(wanted.bench), jobs_(*wanted.bench.jobs), runs_(jobs_of(wanted)),
        engine_(options_of(wanted, display_)),
        queue_(engine_, [this](std::int64_t done, std::int64_t all) { show_removed(done, all); }) {
    report_.what = std::move(what);
    report_.jobs = jobs_;
  }

  exit_code run();

private:
  static std::size_t jobs_of(const invocation& wanted) {
    return static_cast<std::size_t>(*wanted.bench.jobs);
  }
  static engine_options options_of(const invocation& wanted, progress_display& display);
  void add_handler();
  template<class Part>
  exit_code within_limit(Part part);
  void pause(std::chrono::milliseconds time);
  void show(const std::string& doing, std::int64_t done, std::int64_t all);
  void show_removed(std::int64_t done, std::int64_t all);

  exit_code measure();
  void drain();
  void enqueue();
  void latency();
  void put_jobs();
  void await_ends();
  steady::time_point await_start();
  template<class Part>
  void count_wal(Part part);
  bool each_ran_once();

  const invocation& wanted_;
  const bench_settings& bench_;
  const int jobs_;
  signal_watch signals_; // before the engine, whose threads inherit the mask
  progress_display display_;
  run_ledger runs_; // these two before the engine, whose handler uses them
  start_watch start_;
  engine engine_;
  bench_queue queue_;
  bool removing_ = false;
  steady::time_point until_;
  steady::time_point part_began_; ///< of what is shown
  steady::time_point next_show_;
  std::string shown_;
  job_id first_; ///< the first job's
  std::uint64_t ended_before_ = 0;
  bench_report report_;
};

engine_options bench_run::options_of(const invocation& wanted, progress_display& display) {
  auto options = wanted.engine;
  options.slots = 0; // other queues are others' business
  options.queues = {{bench_name, wanted.bench.slots}};
  options.grace = bench_grace;
  options.progress = [&display](std::string_view line) { display.say(std::string{line}); };
  return options;
}

void bench_run::add_handler() {
  const std::chrono::microseconds work{bench_.work_us};
  if (wanted_.what == command::bench_latency || work > 0us)
    engine_.handle(bench_name, [this, work](const job_run& run) {
      const auto now = steady::now();
      runs_.add(number_of(run));
      start_.begin(number_of(run), now);
      while (steady::now() < now + work) {
      }
      return completed();
    });
  else
    engine_.handle_async(bench_name, [this](const job_run_ptr& run, const completion& done) {
      runs_.add(number_of(*run));
      done(completed());
    });
}

/// What cuts it off becomes an exit code.
template<class Part>
exit_code bench_run::within_limit(Part part) {
  until_ =
      steady::now()
      + std::chrono::duration_cast<steady::duration>(std::chrono::duration<double>(bench_.limit));
  try {
    return part();
  } catch (const cut_off& why) {
    display_.say(why.code == exit_code::timed_out
                     ? "the time is over"
                     : "interrupted: its jobs are removed; a second signal ends it at once");
    return why.code;
  }
}

void bench_run::pause(std::chrono::milliseconds time) {
  if (removing_) // a second signal ends the process
    std::this_thread::sleep_for(time);
  else if (signals_.wait_for(time))
    throw cut_off{exit_code::interrupted};
  if (steady::now() > until_)
    throw cut_off{exit_code::timed_out};
}

void bench_run::show(const std::string& doing, std::int64_t done, std::int64_t all) {
  const auto now = steady::now();
  if (doing != shown_) {
    shown_ = doing;
    part_began_ = now;
    next_show_ = now + display_.interval();
  }
  if (now < next_show_)
    return;
  next_show_ = now + display_.interval();
  const bench_view view{doing, done, all, seconds_of(now - part_began_)};
  display_.show([&](int width) { return bar_line(view, width); }, [&] { return plain_line(view); });
}

void bench_run::show_removed(std::int64_t done, std::int64_t all) {
  show("removed", done, all);
  pause(database_interval);
}

void bench_run::put_jobs() {
  for (int done = 0; done < jobs_;) {
    std::vector<job_spec> batch;
    for (const int end = std::min(jobs_, done + bench_.batch); done < end; ++done)
      batch.push_back(job_of(done));
    const auto ids = engine_.enqueue_all(std::move(batch));
    if (first_ == job_id{})
      first_ = *std::min_element(ids.begin(), ids.end());
    show("stored", done, jobs_);
    pause(0ms);
  }
}

/// Until every job's outcome is committed, or nothing goes on any more.
void bench_run::await_ends() {
  const auto& ended = engine_.counters().attempts_completed;
  auto last = ended.load();
  auto moved = steady::now();
  while (ended - ended_before_ < static_cast<std::uint64_t>(jobs_)) {
    pause(end_interval);
    const auto now = steady::now();
    if (ended != last) {
      last = ended;
      moved = now;
    } else if (now - moved > doubt_after) {
      if (open_jobs(queue_.counts()) == 0)
        return;
      moved = now;
    }
    show("run", static_cast<std::int64_t>(ended - ended_before_), jobs_);
  }
}

template<class Part>
void bench_run::count_wal(Part part) {
  const auto before = wal_written(engine_);
  const auto began = steady::now();
  part();
  report_.seconds = seconds_of(steady::now() - began);
  report_.wal_bytes_per_job = static_cast<double>(wal_written(engine_) - before) / jobs_;
}

void bench_run::drain() {
  put_jobs();
  count_wal([this] {
    queue_.resume();
    await_ends();
  });
}

void bench_run::enqueue() {
  count_wal([this] { put_jobs(); });
  queue_.resume(); // that they can be run is part of it
  await_ends();
}

steady::time_point bench_run::await_start() {
  while (true) {
    if (const auto began = start_.wait_for(start_interval))
      return *began;
    pause(0ms);
  }
}

void bench_run::latency() {
  std::vector<double> from_commit, from_call;
  queue_.resume();
  pause(settle_time);
  count_wal([&] {
    for (int number = 0; number < jobs_; ++number) {
      start_.expect(static_cast<std::size_t>(number));
      const auto called = steady::now();
      const auto id =
          bench_.by_sql ? enqueue_by_sql(engine_, job_of(number)) : engine_.enqueue(job_of(number));
      const auto committed = steady::now();
      const auto began = await_start();
      from_call.push_back(1000 * seconds_of(began - called));
      // The commit is known here a little later than to the engine.
      from_commit.push_back(std::max(0.0, 1000 * seconds_of(began - committed)));
      if (number == 0)
        first_ = id;
      show("run", number + 1, jobs_);
      pause(least_pause + number % pauses * 1ms);
    }
    await_ends();
  });
  report_.from_commit = waits_of(std::move(from_commit));
  report_.from_call = waits_of(std::move(from_call));
}

/// By the handler's account and by the database's; says what is wrong.
bool bench_run::each_ran_once() {
  const auto here = runs_.total();
  const std::chrono::milliseconds limit{static_cast<std::int64_t>(bench_.limit * 1000)};
  const auto there = count_ended(engine_, bench_name, first_,
                                 std::clamp(limit, least_count_time, most_count_time));
  if (!here.each_once())
    display_.say("jobs that never ran: " + std::to_string(here.never)
                 + "; that ran more than once: " + std::to_string(here.again)
                 + "; runs of jobs that there are not: " + std::to_string(here.others));
  if (there.jobs != jobs_ || there.once != jobs_)
    display_.say("the database has " + std::to_string(there.jobs) + " jobs, "
                 + std::to_string(there.once) + " of which completed in their only run");
  return here.each_once() && there.jobs == jobs_ && there.once == jobs_;
}

exit_code bench_run::measure() {
  queue_.clear();
  queue_.require_empty();
  runs_.forget(); // what was left of an earlier benchmark may have run before the pause
  ended_before_ = engine_.counters().attempts_completed;
  if (wanted_.what == command::bench_drain)
    drain();
  else if (wanted_.what == command::bench_enqueue)
    enqueue();
  else
    latency();
  report_.exactly_once = each_ran_once();
  return report_.exactly_once ? exit_code::ok : exit_code::failed;
}

exit_code bench_run::run() {
  add_handler();
  engine_.start();
  queue_.require_no_other();
  const auto code = within_limit([this] { return measure(); });
  const bool measured = code == exit_code::ok || code == exit_code::failed;
  auto removed = exit_code::ok;
  if (!measured || !bench_.keep) {
    removing_ = true;
    removed = within_limit([this] {
      queue_.clear();
      return exit_code::ok;
    });
    if (removed != exit_code::ok)
      display_.say("some of its jobs are still there: any node goes on removing them, and so does "
                   "the next benchmark");
  }
  if (removed == exit_code::ok) // else nobody should run what is left
    queue_.resume();
  engine_.stop();
  display_.clear();
  if (measured)
    print(wanted_.json ? report_json(report_) + "\n" : report_text(report_));
  return signals_.signal() != 0 ? exit_code::interrupted : code;
}

} // namespace

exit_code run_bench(const invocation& wanted) {
  log::install({wanted.log_level.value_or(log::level::warn), wanted.log_format});
  const auto* what = wanted.what == command::bench_drain     ? "drain"
                     : wanted.what == command::bench_enqueue ? "enqueue"
                                                             : "latency";
  return bench_run(wanted, what).run();
}

} // namespace troupe::cli
