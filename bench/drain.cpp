// Drain: how fast nodes run a backlog with history kept, of no-ops unless --ms says how long each
// job sleeps. Prints one JSON object. --limit: the queue's concurrency, on all nodes together.
// --keys: the jobs have one of so many limit keys each; --key-limit: how many of each run at once.
// --ordered: they are spread over so many ordered queues. --backlog: so many more wait behind them.
// Usage: troupe_bench_drain --url URL [--jobs N] [--slots N] [--connections N] [--nodes N]
//                           [--limit N] [--ms N] [--keys N] [--key-limit N] [--ordered N]
//                           [--backlog N]
// The clock runs from start() on a migrated database to the commit of --jobs outcomes.
#include "launcher/engine.hpp"
#include "launcher/log.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

const std::string queue = "bench";
/// Jobs in one enqueue.
constexpr int chunk = 1000;
/// A drain slower than this has failed.
constexpr auto limit = 300s;

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
  options.test_kinds = true;
  return options;
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
  if (const auto keys = flags.find("--keys"); keys != flags.end())
    job.limit_key = "customer " + std::to_string(number % std::atoi(keys->second.c_str()));
  return job;
}

void set_limits(troupe::engine& node, const std::map<std::string, std::string>& flags) {
  if (flags.count("--limit"))
    node.limit(queue, std::atoi(flags.at("--limit").c_str()));
  if (flags.count("--key-limit"))
    node.limit_keys(queue, std::atoi(flags.at("--key-limit").c_str()));
  if (flags.count("--ordered"))
    for (const auto& name : queues_of(flags))
      node.order(name, true);
}

} // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> flags = {{"--jobs", "100000"},
                                              {"--slots", "64"},
                                              {"--connections", "2"},
                                              {"--nodes", "1"},
                                              {"--backlog", "0"}};
  for (int i = 1; i + 1 < argc; i += 2)
    flags[argv[i]] = argv[i + 1];
  if (flags.count("--url") == 0) {
    std::cerr << "usage: troupe_bench_drain --url URL [--jobs N] [--slots N] [--connections N] "
                 "[--nodes N] [--limit N] [--ms N] [--keys N] [--key-limit N] "
                 "[--ordered N] [--backlog N]\n";
    return 2;
  }
  const int jobs = std::atoi(flags["--jobs"].c_str());
  const int stored = jobs + std::atoi(flags["--backlog"].c_str());
  try {
    troupe::log::install({});
    double enqueue_seconds = 0;
    {
      troupe::engine producer{options_of(flags, 0)};
      producer.start();
      const auto begun = clock_type::now();
      for (int done = 0; done < stored; done += chunk) {
        std::vector<troupe::job_spec> batch;
        for (int i = 0; i < std::min(chunk, stored - done); ++i)
          batch.push_back(job_of(flags, done + i));
        producer.enqueue_all(std::move(batch));
      }
      enqueue_seconds = seconds_since(begun);
      set_limits(producer, flags);
      producer.stop();
    }
    std::vector<std::unique_ptr<troupe::engine>> workers;
    for (int i = 0; i < std::atoi(flags["--nodes"].c_str()); ++i)
      workers.push_back(
          std::make_unique<troupe::engine>(options_of(flags, std::atoi(flags["--slots"].c_str()))));
    const auto sum = [&](auto counter) {
      std::uint64_t all = 0;
      for (const auto& worker : workers)
        all += (worker->counters().*counter).load();
      return all;
    };
    const auto begun = clock_type::now();
    for (const auto& worker : workers)
      worker->start();
    while (sum(&troupe::engine_counters::attempts_completed) < static_cast<std::uint64_t>(jobs)) {
      if (clock_type::now() - begun > limit) {
        std::cerr << "drain: " << sum(&troupe::engine_counters::attempts_completed) << " of "
                  << jobs << " jobs after the time limit\n";
        return 1;
      }
      std::this_thread::sleep_for(1ms);
    }
    const double seconds = seconds_since(begun);
    std::printf("{\"jobs\":%d,\"seconds\":%.4f,\"jobs_per_second\":%.0f,"
                "\"enqueue_per_second\":%.0f,\"fenced\":%llu}\n",
                jobs, seconds, jobs / seconds, stored / enqueue_seconds,
                static_cast<unsigned long long>(sum(&troupe::engine_counters::attempts_fenced)));
    for (const auto& worker : workers)
      worker->stop();
  } catch (const troupe::engine_error& error) {
    std::cerr << "drain: " << error.what() << "\n";
    return 1;
  }
}
