// The program `troupe`: reads the command line, runs one command, turns what it throws into a
// sentence on standard error and an exit code.
#include "cli/commands.hpp"
#include "launcher/engine.hpp"

#include <array>
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

struct runner {
  command what;
  exit_code (*run)(const invocation&);
};

constexpr std::array runners{
    runner{command::dev, run_node},
    runner{command::serve, run_node},
    runner{command::migrate, run_migrate},
    runner{command::enqueue, run_enqueue},
    runner{command::jobs_list, run_jobs_list},
    runner{command::jobs_logs, run_jobs_logs},
    runner{command::jobs_watch, run_jobs_watch},
    runner{command::jobs_counts, run_jobs_counts},
    runner{command::jobs_get, run_jobs_by_id},
    runner{command::jobs_why, run_jobs_by_id},
    runner{command::jobs_cancel, run_jobs_by_id},
    runner{command::jobs_retry, run_jobs_by_id},
    runner{command::jobs_delete, run_jobs_by_id},
    runner{command::jobs_bulk, run_jobs_bulk},
    runner{command::jobs_edit, run_jobs_edit},
    runner{command::export_jobs, run_export},
    runner{command::queues_list, run_queues_list},
    runner{command::queues_show, run_queue},
    runner{command::queues_pause, run_queue},
    runner{command::queues_resume, run_queue},
    runner{command::queues_drain, run_queue},
    runner{command::queues_limit, run_queue},
    runner{command::nodes_list, run_nodes_list},
    runner{command::nodes_show, run_node_by_name},
    runner{command::nodes_drain, run_node_by_name},
    runner{command::nodes_resume, run_node_by_name},
    runner{command::nodes_quiet, run_node_by_name},
    runner{command::nodes_terminate, run_node_by_name},
    runner{command::tokens_create, run_tokens_create},
    runner{command::tokens_list, run_tokens_list},
    runner{command::tokens_revoke, run_tokens_revoke},
    runner{command::top, run_top},
    runner{command::health, run_health},
    runner{command::pool, run_server_object},
    runner{command::retention_show, run_server_object},
    runner{command::retention_set, run_retention_set},
    runner{command::retention_reset, run_retention_reset},
    runner{command::audit_list, run_audit_list},
    runner{command::exports_list, run_exports_list},
    runner{command::exports_get, run_exports_by_id},
    runner{command::exports_delete, run_exports_by_id},
    runner{command::scrape, run_scrape},
    runner{command::bench_drain, run_bench},
    runner{command::bench_enqueue, run_bench},
    runner{command::bench_latency, run_bench},
    runner{command::doctor, run_doctor},
    runner{command::config_show, run_config_show},
    runner{command::completion, run_completion},
    runner{command::man, run_man},
    runner{command::version, run_version},
};

constexpr const runner* find_runner(command what) {
  for (const auto& each : runners)
    if (each.what == what)
      return &each;
  return nullptr;
}

constexpr bool each_command_has_a_runner() {
  for (auto i = 0; i <= static_cast<int>(command::version); ++i)
    if (find_runner(static_cast<command>(i)) == nullptr)
      return false;
  return true;
}
static_assert(each_command_has_a_runner());

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
    return find_runner(wanted.what)->run(wanted);
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
