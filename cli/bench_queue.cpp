#include "cli/bench_queue.hpp"

#include "cli/exit_code.hpp"

#include <algorithm>
#include <iterator>
#include <variant>
#include <vector>

namespace troupe::cli {

namespace {

/// It runs our kind: it is a benchmark.
bool is_bench(const node_record& node) {
  return node.kinds
         && std::find(node.kinds->begin(), node.kinds->end(), bench_name) != node.kinds->end();
}

bool serves_queue(const node_record& node) {
  for (const auto& each : node.queues)
    if (each.queue == bench_name && each.slots)
      return *each.slots > 0;
  return node.slots.value_or(0) > 0;
}

std::vector<node_record> nodes_alive(engine& node) {
  std::vector<node_record> all;
  list_nodes ask{.state = node_state::alive, .before = {}, .limit = limits::node_page};
  while (true) {
    auto reply = node.ask(ask);
    if (const auto* failed = std::get_if<failure>(&reply))
      throw engine_error(*failed);
    auto& page = std::get<node_page>(reply);
    std::move(page.nodes.begin(), page.nodes.end(), std::back_inserter(all));
    if (!page.next)
      return all;
    ask.before = *page.next;
  }
}

/// Why a benchmark cannot run beside these nodes, one of which is its own; or empty.
std::string company_fault(const std::vector<node_record>& nodes) {
  if (std::count_if(nodes.begin(), nodes.end(), is_bench) > 1)
    return "another benchmark runs on this database, or was killed less than 5 seconds ago";
  for (const auto& node : nodes)
    if (!is_bench(node) && serves_queue(node))
      return "node " + node.name
             + " would run jobs of the benchmark: use a database of its own, or give that node "
               "--queue "
             + bench_name + ":0";
  return {};
}

} // namespace

void bench_queue::require_no_other() const {
  if (const auto fault = company_fault(nodes_alive(node_)); !fault.empty())
    throw command_error(exit_code::conflict, fault);
}

job_counts bench_queue::counts() const {
  get_counts ask;
  ask.queue = bench_name;
  const auto page = node_.counts(ask);
  return page.queues.empty() ? job_counts{bench_name} : page.queues.front();
}

bulk_record bench_queue::remove_what_waits() const {
  bulk_request what;
  what.action = bulk_action::remove;
  what.filter.queue = bench_name;
  what.filter.kind = bench_name;
  const auto jobs = all_jobs(counts());
  auto step = node_.bulk(what);
  while (step.state == "running") {
    wait_(step.changed, jobs);
    step = node_.bulk(step.id);
  }
  return step;
}

void bench_queue::clear() const {
  pause();
  while (true) {
    const auto before = counts();
    if (all_jobs(before) == 0)
      return;
    // What runs, or ran on a node that was killed, ends and is removed later.
    if (remove_what_waits().matched == 0 && before.running == 0)
      return; // the rest is somebody else's
    wait_(0, all_jobs(before));
  }
}

void bench_queue::require_empty() const {
  if (const auto jobs = all_jobs(counts()); jobs > 0)
    throw command_error(exit_code::conflict,
                        "jobs of other kinds in the queue " + bench_name
                            + ", which is for benchmarks: " + std::to_string(jobs)
                            + "; delete them, or move those that wait");
}

} // namespace troupe::cli
