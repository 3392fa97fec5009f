// Drain: how fast nodes run a backlog with history kept, of no-ops unless --ms says how long each
// job sleeps, or --spin-us how long it computes. Prints one JSON object. --limit: the queue's
// concurrency, on all nodes together. --keys: the jobs have one of so many limit keys each;
// --key-limit: how many of each run at once.
// --ordered: they are spread over so many ordered queues. --backlog: so many more wait behind them.
// --prefetch: as engine_options has it. --every: the object tells the time of every so many
// outcomes, too, as [outcomes, seconds]. --otlp: spans go to the collector at this URL, of
// --sample-ratio of the runs, each of which is a trace of its own.
// Usage: troupe_bench_drain --url URL [--jobs N] [--slots N] [--connections N] [--nodes N]
// [--prefetch N] [--limit N] [--ms N] [--spin-us N] [--keys N] [--key-limit N] [--ordered N]
// [--backlog N] [--every N] [--otlp URL] [--sample-ratio R]
// The clock runs from start() on a migrated database to the commit of --jobs outcomes.
#include "launcher/engine.hpp"
#include "launcher/log.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace std::string_view_literals;
using clock_type = std::chrono::steady_clock;

const std::string queue = "bench";
/// Jobs in one enqueue.
constexpr int chunk = 1000;
/// A drain slower than this has failed.
constexpr auto limit = 300s;
constexpr auto usage =
    "usage: troupe_bench_drain --url URL [--jobs N] [--slots N] [--connections N] [--nodes N] "
    "[--prefetch N] [--limit N] [--ms N] [--spin-us N] [--keys N] [--key-limit N] [--ordered N] "
    "[--backlog N] [--every N] [--otlp URL] [--sample-ratio R]\n";

double seconds_since(clock_type::time_point then) {
  return std::chrono::duration<double>(clock_type::now() - then).count();
}

std::vector<std::string> queues_of(const std::map<std::string, std::string>& flags) {
  const auto ordered = flags.find("--ordered");
  if (ordered == flags.end())
    return {queue};
  std::vector<std::string> names;
  for (int i = 0; i < std::atoi(ordered->second.c_str()); ++i)
    names.push_back(queue + std::to_string(i));
  return names;
}

troupe::engine_options options_of(const std::map<std::string, std::string>& flags, int slots) {
  troupe::engine_options options;
  options.database_url = flags.at("--url");
  options.data_dir = "/tmp";
  options.database.max_connections = std::atoi(flags.at("--connections").c_str());
  for (const auto& name : queues_of(flags))
    options.queues[name] = slots;
  if (const auto prefetch = flags.find("--prefetch"); prefetch != flags.end())
    options.prefetch = std::atoi(prefetch->second.c_str());
  if (const auto collector = flags.find("--otlp"); collector != flags.end())
    options.otlp_endpoint = collector->second;
  if (const auto ratio = flags.find("--sample-ratio"); ratio != flags.end())
    options.otlp_sample_ratio = std::atof(ratio->second.c_str());
  options.test_kinds = true;
  return options;
}

/// Answered claims of an engine, those that found nothing included.
std::uint64_t claims_of(const troupe::engine& worker) {
  std::uint64_t all = 0;
  for (const auto& statement : worker.database().statements())
    if (const char* name = statement.name.load(); name != nullptr && name == "job_claim"sv)
      for (std::size_t i = 0; i <= troupe::latency_histogram::bounds_us.size(); ++i)
        all += statement.latency.count(i);
  return all;
}

troupe::job_spec job_of(const std::map<std::string, std::string>& flags, int number) {
  const auto queues = queues_of(flags);
  troupe::job_spec job{.kind = "noop",
                       .queue = queues[static_cast<std::size_t>(number) % queues.size()]};
  job.args = R"({"n":)" + std::to_string(number) + R"(,"to":"user@example.com"})";
  if (const auto ms = flags.find("--ms"); ms != flags.end()) {
    job.kind = "sleep";
    job.args = R"({"ms":)" + ms->second + "}";
  }
  if (flags.count("--spin-us"))
    job.kind = "spin";
  if (const auto keys = flags.find("--keys"); keys != flags.end())
    job.limit_key = "customer " + std::to_string(number % std::atoi(keys->second.c_str()));
  return job;
}

/// Gives the engine a handler that keeps a processor busy for so long.
void add_spin(const std::map<std::string, std::string>& flags, troupe::engine& to) {
  const auto spin = flags.find("--spin-us");
  if (spin == flags.end())
    return;
  const std::chrono::microseconds how_long{std::atoi(spin->second.c_str())};
  to.handle("spin", [how_long](const troupe::job_run&) {
    const auto end = clock_type::now() + how_long;
    while (clock_type::now() < end) {
    }
    return troupe::completed();
  });
}

/// Stores the jobs and sets the limits of their queue; the seconds that the first of these took.
double enqueue(const std::map<std::string, std::string>& flags, int stored) {
  troupe::engine producer{options_of(flags, 0)};
  add_spin(flags, producer);
  producer.start();
  const auto begun = clock_type::now();
  for (int done = 0; done < stored; done += chunk) {
    std::vector<troupe::job_spec> batch;
    for (int i = 0; i < std::min(chunk, stored - done); ++i)
      batch.push_back(job_of(flags, done + i));
    producer.enqueue_all(std::move(batch));
  }
  const double seconds = seconds_since(begun);
  if (flags.count("--limit"))
    producer.limit(queue, std::atoi(flags.at("--limit").c_str()));
  if (flags.count("--key-limit"))
    producer.limit_keys(queue, std::atoi(flags.at("--key-limit").c_str()));
  if (flags.count("--ordered"))
    for (const auto& name : queues_of(flags))
      producer.order(name, true);
  producer.stop();
  return seconds;
}

} // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> flags = {{"--jobs", "100000"},   {"--slots", "64"},
                                              {"--connections", "2"}, {"--nodes", "1"},
                                              {"--backlog", "0"},     {"--every", "0"}};
  for (int i = 1; i + 1 < argc; i += 2)
    flags[argv[i]] = argv[i + 1];
  if (flags.count("--url") == 0) {
    std::cerr << usage;
    return 2;
  }
  const int jobs = std::atoi(flags["--jobs"].c_str());
  const int stored = jobs + std::atoi(flags["--backlog"].c_str());
  try {
    troupe::log::install({});
    const double enqueue_seconds = enqueue(flags, stored);
    std::vector<std::unique_ptr<troupe::engine>> workers;
    for (int i = 0; i < std::atoi(flags["--nodes"].c_str()); ++i)
      workers.push_back(
          std::make_unique<troupe::engine>(options_of(flags, std::atoi(flags["--slots"].c_str()))));
    for (const auto& worker : workers)
      add_spin(flags, *worker);
    const auto sum = [&](auto counter) {
      std::uint64_t all = 0;
      for (const auto& worker : workers)
        all += (worker->counters().*counter).load();
      return all;
    };
    const std::uint64_t every = std::strtoull(flags["--every"].c_str(), nullptr, 10);
    std::vector<std::pair<std::uint64_t, double>> steps;
    const auto begun = clock_type::now();
    for (const auto& worker : workers)
      worker->start();
    for (std::uint64_t done = 0; done < static_cast<std::uint64_t>(jobs);) {
      if (clock_type::now() - begun > limit) {
        std::cerr << "drain: " << done << " of " << jobs << " jobs after the time limit\n";
        return 1;
      }
      std::this_thread::sleep_for(1ms);
      done = sum(&troupe::engine_counters::attempts_completed);
      if (every > 0 && done / every > (steps.empty() ? 0 : steps.back().first / every))
        steps.emplace_back(done, seconds_since(begun));
    }
    const double seconds = seconds_since(begun);
    std::uint64_t claims = 0;
    for (const auto& worker : workers)
      claims += claims_of(*worker);
    const auto claimed = sum(&troupe::engine_counters::jobs_claimed);
    std::string told;
    for (const auto& [outcomes, when] : steps)
      told +=
          (told.empty() ? "[" : ",[") + std::to_string(outcomes) + "," + std::to_string(when) + "]";
    std::printf(
        "{\"jobs\":%d,\"seconds\":%.4f,\"jobs_per_second\":%.0f,"
        "\"enqueue_per_second\":%.0f,\"jobs_per_claim\":%.1f,\"fenced\":%llu,\"spans\":%llu,"
        "\"spans_dropped\":%llu,\"steps\":[%s]}\n",
        jobs, seconds, jobs / seconds, stored / enqueue_seconds,
        static_cast<double>(claimed) / static_cast<double>(std::max<std::uint64_t>(1, claims)),
        static_cast<unsigned long long>(sum(&troupe::engine_counters::attempts_fenced)),
        static_cast<unsigned long long>(sum(&troupe::engine_counters::spans_exported)),
        static_cast<unsigned long long>(sum(&troupe::engine_counters::spans_dropped_full)),
        told.c_str());
    for (const auto& worker : workers)
      worker->stop();
  } catch (const troupe::engine_error& error) {
    std::cerr << "drain: " << error.what() << "\n";
    return 1;
  }
}
