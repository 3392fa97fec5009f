// What each command of the program does. Each returns the exit code or throws command_error or
// engine_error, which main turns into a sentence and a code.
#pragma once

#include "cli/exit_code.hpp"
#include "cli/options.hpp"
#include "cli/talk.hpp"

#include <vector>

namespace troupe::cli {

/// dev and serve: a node until a signal.
exit_code run_node(const invocation& wanted);
exit_code run_migrate(const invocation& wanted);
exit_code run_doctor(const invocation& wanted);
exit_code run_version(const invocation& wanted);
exit_code run_config_show(const invocation& wanted);
/// Of a node that is started like this, as they may be shown.
std::vector<setting> settings_in_use(const invocation& wanted);
/// completion and man: made from the commands themselves.
exit_code run_completion(const invocation& wanted);
exit_code run_man(const invocation& wanted);
/// enqueue and jobs, by HTTP.
exit_code run_enqueue(const invocation& wanted);
exit_code run_jobs_list(const invocation& wanted);
exit_code run_jobs_logs(const invocation& wanted);
exit_code run_jobs_watch(const invocation& wanted);
exit_code run_jobs_counts(const invocation& wanted);
/// get, why, cancel, retry and delete.
exit_code run_jobs_by_id(const invocation& wanted);
exit_code run_jobs_bulk(const invocation& wanted);
exit_code run_jobs_edit(const invocation& wanted);
exit_code run_export(const invocation& wanted);
/// queues: list, and the commands about one queue.
exit_code run_queues_list(const invocation& wanted);
exit_code run_queue(const invocation& wanted);
/// nodes: list, and the commands about one of them.
exit_code run_nodes_list(const invocation& wanted);
exit_code run_node_by_name(const invocation& wanted);
/// tokens, by HTTP or straight on a database.
exit_code run_tokens_create(const invocation& wanted);
exit_code run_tokens_list(const invocation& wanted);
exit_code run_tokens_revoke(const invocation& wanted);
/// What a server says of itself.
exit_code run_health(const invocation& wanted);
/// pool and retention show.
exit_code run_server_object(const invocation& wanted);
exit_code run_retention_set(const invocation& wanted);
exit_code run_retention_reset(const invocation& wanted);
exit_code run_audit_list(const invocation& wanted);
exit_code run_exports_list(const invocation& wanted);
/// get and delete.
exit_code run_exports_by_id(const invocation& wanted);
exit_code run_top(const invocation& wanted);
exit_code run_scrape(const invocation& wanted);
/// drain, enqueue and latency.
exit_code run_bench(const invocation& wanted);

/// Writes to standard output; command_error when nobody takes it (a full disk, a closed pipe).
void print(const std::string& text);

} // namespace troupe::cli
