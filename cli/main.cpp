// The program `troupe`: reads the command line, runs one command, turns what it throws into a
// sentence on standard error and an exit code.
#include "cli/commands.hpp"
#include "launcher/engine.hpp"

#include <clocale>
#include <cstdio>
#include <string>
#include <variant>
#include <vector>

namespace troupe::cli {

void print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw command_error(exit_code::failed, "standard output cannot be written");
}

namespace {

exit_code run(const invocation& wanted) {
  switch (wanted.what) {
  case command::dev:
  case command::serve:
    return run_node(wanted);
  case command::migrate:
    return run_migrate(wanted);
  case command::enqueue:
    return run_enqueue(wanted);
  case command::jobs_list:
    return run_jobs_list(wanted);
  case command::jobs_logs:
    return run_jobs_logs(wanted);
  case command::jobs_watch:
    return run_jobs_watch(wanted);
  case command::jobs_counts:
    return run_jobs_counts(wanted);
  case command::jobs_get:
  case command::jobs_why:
  case command::jobs_cancel:
  case command::jobs_retry:
  case command::jobs_delete:
    return run_jobs_by_id(wanted);
  case command::jobs_bulk:
    return run_jobs_bulk(wanted);
  case command::jobs_edit:
    return run_jobs_edit(wanted);
  case command::export_jobs:
    return run_export(wanted);
  case command::queues_list:
    return run_queues_list(wanted);
  case command::queues_show:
  case command::queues_pause:
  case command::queues_resume:
  case command::queues_drain:
  case command::queues_limit:
    return run_queue(wanted);
  case command::nodes_list:
    return run_nodes_list(wanted);
  case command::nodes_show:
  case command::nodes_drain:
  case command::nodes_resume:
    return run_node_by_name(wanted);
  case command::tokens_create:
    return run_tokens_create(wanted);
  case command::tokens_list:
    return run_tokens_list(wanted);
  case command::tokens_revoke:
    return run_tokens_revoke(wanted);
  case command::top:
    return run_top(wanted);
  case command::scrape:
    return run_scrape(wanted);
  case command::bench_drain:
  case command::bench_enqueue:
  case command::bench_latency:
    return run_bench(wanted);
  case command::doctor:
    return run_doctor(wanted);
  case command::config_show:
    return run_config_show(wanted);
  case command::completion:
    return run_completion(wanted);
  case command::man:
    return run_man(wanted);
  case command::version:
    return run_version(wanted);
  }
  return exit_code::usage;
}

exit_code guarded_main(std::vector<std::string> arguments) {
  auto parsed = parse(std::move(arguments));
  try {
    if (const auto* refused = std::get_if<refusal>(&parsed)) {
      if (refused->code == exit_code::ok)
        print(refused->text);
      else
        std::fputs(refused->text.c_str(), stderr);
      return refused->code;
    }
    const auto& wanted = std::get<invocation>(parsed);
    set_manner(wanted.talk);
    return run(wanted);
  } catch (const command_error& e) {
    complain(e.what());
    return e.code();
  } catch (const engine_error& e) {
    complain(e.what());
    return exit_code_of(e.code());
  } catch (const std::exception& e) {
    complain(e.what());
    return exit_code::failed;
  }
}

} // namespace

} // namespace troupe::cli

int main(int argc, char** argv) {
  // For the widths of characters; nothing else is localised.
  std::setlocale(LC_CTYPE, "C.UTF-8");
  return static_cast<int>(troupe::cli::guarded_main({argv + (argc > 0 ? 1 : 0), argv + argc}));
}
