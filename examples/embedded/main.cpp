// A Troupe node inside a program: one handler, one job, its result. Give a data directory as the
// only argument, or none for the default one; DATABASE_URL replaces the private PostgreSQL.
#include "launcher/engine.hpp"

#include <cstdlib>
#include <iostream>

int main(int argc, char** argv) {
  using namespace std::chrono_literals;
  troupe::engine_options options;
  if (const char* url = std::getenv("DATABASE_URL"))
    options.database_url = url;
  if (argc > 1)
    options.data_dir = argv[1];
  try {
    troupe::engine engine{options};
    engine.handle("greet", [](const troupe::job_run& run) {
      return troupe::completed(R"({"greeted":)" + run.args + "}");
    });
    engine.start();
    const auto id = engine.enqueue({.kind = "greet", .args = R"({"name":"Ada"})"});
    const auto job = engine.wait(id, 10s);
    std::cout << "job " << id.value << " " << troupe::to_string(job.state) << ": "
              << job.attempts.back().result << "\n";
    engine.stop();
  } catch (const troupe::engine_error& error) {
    std::cerr << "embedded: " << error.what() << "\n";
    return 1;
  }
}
