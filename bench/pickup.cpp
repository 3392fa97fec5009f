// Pickup: from the call that enqueues a job to the start of its handler, in an idle engine. --by
// sql: from the begin of a transaction that calls troupe.enqueue. Prints one JSON object. Usage:
// troupe_bench_pickup --url URL [--jobs N] [--by engine|sql]
#include "launcher/engine.hpp"
#include "launcher/log.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <iostream>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

constexpr const char* queue = "bench";

void enqueue_by_sql(troupe::engine& engine) {
  engine.run_transaction([](troupe::session& work) {
    static_cast<void>(work.query("select troupe.enqueue('probe', queue => $1)", queue).get());
  });
}

std::vector<double> measure(troupe::engine& engine, std::promise<clock_type::time_point>& began,
                            int jobs, bool by_sql) {
  std::vector<double> took;
  for (int i = 0; i < jobs; ++i) {
    began = {};
    auto start = began.get_future();
    const auto asked = clock_type::now();
    if (by_sql)
      enqueue_by_sql(engine);
    else
      engine.enqueue(troupe::job_spec{.kind = "probe", .queue = queue});
    took.push_back(std::chrono::duration<double, std::milli>(start.get() - asked).count());
    std::this_thread::sleep_for(5ms + i % 7 * 1ms);
  }
  std::sort(took.begin(), took.end());
  return took;
}

} // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> flags = {{"--jobs", "500"}, {"--by", "engine"}};
  for (int i = 1; i + 1 < argc; i += 2)
    flags[argv[i]] = argv[i + 1];
  const int jobs = std::atoi(flags["--jobs"].c_str());
  if (flags.count("--url") == 0 || jobs < 1) {
    std::cerr << "usage: troupe_bench_pickup --url URL [--jobs N] [--by engine|sql]\n";
    return 2;
  }
  try {
    troupe::log::install({});
    troupe::engine_options options;
    options.database_url = flags["--url"];
    options.data_dir = "/tmp";
    options.queues[queue] = 4;
    std::promise<clock_type::time_point> began;
    troupe::engine engine{options};
    engine.handle("probe", [&](const troupe::job_run&) {
      began.set_value(clock_type::now());
      return troupe::completed("null");
    });
    engine.start();
    std::this_thread::sleep_for(500ms);
    const auto took = measure(engine, began, jobs, flags["--by"] == "sql");
    const auto at = [&](double share) {
      const auto place = static_cast<std::size_t>(share * static_cast<double>(took.size()));
      return took[std::min(place, took.size() - 1)];
    };
    std::printf("{\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n", at(0.5), at(0.99));
    engine.stop();
  } catch (const troupe::engine_error& error) {
    std::cerr << "pickup: " << error.what() << "\n";
    return 1;
  }
}
