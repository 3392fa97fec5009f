// The options of bench; see command_line.hpp.
#include "cli/choice.hpp"
#include "cli/command_line.hpp"
#include "messages/job_limits.hpp"

#include <string>

namespace troupe::cli {

namespace {

constexpr int usual_jobs = 100'000;
constexpr int usual_pickups = 500;

} // namespace

void command_line::add_bench() {
  auto& bench = out_.bench;
  auto* group = app_.add_subcommand("bench", "Measure an engine in this process on a database, or "
                                             "on its own private PostgreSQL");
  group->require_subcommand(1);
  const auto about = [&](command what, const char* name, const char* description, int usual,
                         int most) {
    auto* app = add(*group, what, name, description);
    app->add_option("--jobs", bench.jobs, "How many jobs (" + std::to_string(usual) + ")")
        ->check(CLI::Range(1, most));
    app->add_option("--timeout", bench.limit,
                    "Seconds to measure in, then exit 7; and as many to remove the jobs in")
        ->check(number_in(0.1, longest_seconds))
        ->capture_default_str();
    app->add_flag("--keep", bench.keep, "Leave the jobs there until the next benchmark");
    add_embedded(app);
    add_json(app);
    return app;
  };
  const auto add_batch = [&](CLI::App* app) {
    app->add_option("--batch", bench.batch, "Jobs in one enqueue")
        ->check(CLI::Range(1, static_cast<int>(limits::bulk_jobs)))
        ->capture_default_str();
  };
  auto* drain = about(command::bench_drain, "drain", "How fast jobs that wait are run", usual_jobs,
                      bench_settings::most_jobs);
  add_batch(drain);
  drain->add_option("--slots", bench.slots, "Jobs run at the same time")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  drain
      ->add_option("--work-us", bench.work_us,
                   "Microseconds that each job computes on a worker's thread; 0: a no-op")
      ->check(CLI::Range(0, 10'000'000))
      ->capture_default_str();
  add_batch(about(command::bench_enqueue, "enqueue", "How fast jobs are stored durably", usual_jobs,
                  bench_settings::most_jobs));
  about(command::bench_latency, "latency",
        "How soon the run of a job begins after it was stored, when nothing else is to do",
        usual_pickups, bench_settings::most_pickups)
      ->add_option("--by", enqueued_by_, "Who stores it: the engine, or SQL in a transaction")
      ->check(one_of({"engine", "sql"}))
      ->capture_default_str();
}

void command_line::finish_bench() {
  auto& bench = out_.bench;
  if (!bench.jobs)
    bench.jobs = out_.what == command::bench_latency ? usual_pickups : usual_jobs;
  bench.by_sql = enqueued_by_ == "sql";
  out_.engine.node = "bench";
  finish_engine();
}

} // namespace troupe::cli
