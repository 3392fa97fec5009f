#include "cli/top_view.hpp"

#include "cli/answer.hpp"
#include "cli/fitted_table.hpp"
#include "cli/text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <map>
#include <numeric>
#include <tuple>

namespace troupe::cli {

namespace {

using seconds = std::chrono::duration<double>;

struct column_facts {
  std::string_view name;
  const char* title;
  int rank; ///< the highest is left out first
};
constexpr std::array<column_facts, top_columns> facts{{{"queue", "QUEUE", 0},
                                                       {"waiting", "WAITING", 0},
                                                       {"running", "RUNNING", 1},
                                                       {"retrying", "RETRYING", 5},
                                                       {"scheduled", "SCHEDULED", 7},
                                                       {"failed", "FAILED", 3},
                                                       {"in/s", "IN/S", 4},
                                                       {"done/s", "DONE/S", 2},
                                                       {"fail/s", "FAIL/S", 6}}};

const column_facts& facts_of(top_column column) {
  return facts[static_cast<std::size_t>(column)];
}

std::string count_text(std::int64_t count) {
  if (count < 10'000'000)
    return std::to_string(count);
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1fM", static_cast<double>(count) / 1e6);
  return text.data();
}

std::string rate_text(double rate) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), rate < 99.95 ? "%.1f" : "%.0f", rate);
  return text.data();
}

std::string time_text(std::chrono::system_clock::time_point at) {
  const auto whole = std::chrono::system_clock::to_time_t(at);
  std::tm parts{};
  ::gmtime_r(&whole, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

std::optional<double> age_of(const running_job& job, const top_reading& reading) {
  if (!job.run.started)
    return std::nullopt;
  // The clocks of two machines: never negative.
  return std::max(0.0, seconds(reading.taken_at - *job.run.started).count());
}

queue_figures sum_of(const std::vector<queue_figures>& queues) {
  queue_figures all;
  for (const auto& each : queues) {
    all.scheduled += each.scheduled;
    all.available += each.available;
    all.running += each.running;
    all.retryable += each.retryable;
    all.completed += each.completed;
    all.cancelled += each.cancelled;
    all.discarded += each.discarded;
  }
  return all;
}

queue_rates between(const queue_figures& before, const queue_figures& now, double passed) {
  const auto rate = [passed](std::int64_t from, std::int64_t to) {
    return std::max(0.0, static_cast<double>(to - from) / passed);
  };
  return {rate(before.all(), now.all()), rate(before.completed, now.completed),
          rate(before.discarded, now.discarded)};
}

double passed(const top_reading& before, const top_reading& now) {
  return seconds(now.counted_at - before.counted_at).count();
}

/// What a queue is sorted by.
double weight_of(const queue_figures& queue, const queue_rates& rates, top_column by) {
  switch (by) {
  case top_column::waiting:
    return static_cast<double>(queue.available);
  case top_column::running:
    return static_cast<double>(queue.running);
  case top_column::retrying:
    return static_cast<double>(queue.retryable);
  case top_column::scheduled:
    return static_cast<double>(queue.scheduled);
  case top_column::failed:
    return static_cast<double>(queue.discarded);
  case top_column::in_rate:
    return rates.in;
  case top_column::done_rate:
    return rates.done;
  case top_column::fail_rate:
    return rates.failed;
  case top_column::queue:
    break;
  }
  return 0;
}

/// Everything below is laid out from this: queues in their order, with their rates.
struct sorted_queues {
  std::vector<std::pair<queue_figures, std::optional<queue_rates>>> rows;
  std::optional<queue_rates> all;
};

sorted_queues sorted(const top_input& input) {
  sorted_queues out;
  std::vector<queue_rates> rates;
  if (input.before != nullptr)
    rates = rates_between(*input.before, *input.now);
  for (std::size_t i = 0; i < input.now->queues.size(); ++i)
    out.rows.emplace_back(input.now->queues[i],
                          rates.empty() ? std::nullopt : std::optional{rates[i]});
  std::stable_sort(out.rows.begin(), out.rows.end(), [&](const auto& one, const auto& other) {
    const auto& [a, b] = input.order.descending ? std::tie(other, one) : std::tie(one, other);
    if (input.order.by == top_column::queue)
      return a.first.name < b.first.name;
    const auto weight = [&](const auto& row) {
      return weight_of(row.first, row.second.value_or(queue_rates{}), input.order.by);
    };
    return weight(a) < weight(b);
  });
  if (input.before != nullptr && passed(*input.before, *input.now) > 0)
    out.all = between(sum_of(input.before->queues), sum_of(input.now->queues),
                      passed(*input.before, *input.now));
  return out;
}

std::vector<std::string> queue_lines(const sorted_queues& queues, top_order order, int width) {
  std::vector<fitted_column> columns;
  for (const auto& fact : facts) {
    const bool sorts = facts_of(order.by).name == fact.name;
    columns.push_back({std::string{fact.title}
                           + (!sorts             ? ""
                              : order.descending ? "-"
                                                 : "+"),
                       fact.name != "queue", sorts ? 0 : fact.rank});
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& row : queues.rows) {
    const auto& queue = row.first;
    const auto rate = [&row](double queue_rates::*member) {
      return row.second ? rate_text((*row.second).*member) : std::string{"-"};
    };
    rows.push_back({queue.name + (queue.paused ? " (paused)" : ""), count_text(queue.available),
                    count_text(queue.running), count_text(queue.retryable),
                    count_text(queue.scheduled), count_text(queue.discarded),
                    rate(&queue_rates::in), rate(&queue_rates::done), rate(&queue_rates::failed)});
  }
  return fitted_lines(columns, std::move(rows), width);
}

std::vector<std::string> job_lines(const top_reading& reading, int width) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& job : reading.running) {
    const auto age = age_of(job, reading);
    rows.push_back({job.id, job.kind, age ? duration_text(*age) : "-", job.queue, job.run.node,
                    job.attempt + "/" + job.max_attempts, job.run.progress});
  }
  return fitted_lines({{"JOB", true, 0},
                       {"KIND", false, 0},
                       {"AGE", true, 1},
                       {"QUEUE", false, 3},
                       {"NODE", false, 4},
                       {"ATTEMPT", true, 5},
                       {"PROGRESS", false, 2}},
                      std::move(rows), width);
}

std::string nodes_text(const top_reading& reading) {
  std::string out;
  for (const auto& node : reading.nodes)
    out += (out.empty() ? "" : ", ") + printable(node.name) + " " + count_text(node.running)
           + (node.state == "alive" ? "" : " (" + printable(node.state) + ")");
  return out + (reading.more_nodes ? ", and more" : "");
}

std::vector<std::string> head_lines(const top_input& input, const sorted_queues& queues) {
  const auto& now = *input.now;
  const auto all = sum_of(now.queues);
  std::string rates = "in -/s, done -/s, failing -/s";
  if (queues.all)
    rates = "in " + rate_text(queues.all->in) + "/s, done " + rate_text(queues.all->done)
            + "/s, failing " + rate_text(queues.all->failed) + "/s";
  std::vector<std::string> out;
  const bool node = !now.node.name.empty(); // of one queue nothing is known of nodes
  out.push_back("troupe " + printable(input.url) + "  "
                + (node ? "node " + printable(now.node.name) + " " + printable(now.node.version)
                              + "  " + printable(now.node.status) + "  "
                        : "")
                + time_text(now.taken_at));
  out.push_back("jobs: " + count_text(all.available) + " waiting, " + count_text(all.running)
                + " running, " + count_text(all.retryable) + " retrying, "
                + count_text(all.scheduled) + " scheduled, " + count_text(all.discarded)
                + " failed; " + rates);
  if (node)
    out.push_back("node: " + count_text(now.node.running) + " slots taken, "
                  + count_text(now.node.backlog) + " claimed ahead, " + count_text(now.node.stuck)
                  + " stuck");
  if (const auto nodes = nodes_text(now); !nodes.empty())
    out.back() += "; jobs on all nodes: " + nodes;
  for (const auto& trouble : now.node.trouble)
    out.push_back("trouble: " + printable(trouble));
  if (!input.notice.empty())
    out.push_back(printable(input.notice));
  return out;
}

/// The lines of a table that `room` has: the rest is counted in the last one.
void append_table(std::vector<screen_line>& to, std::vector<std::string> lines, std::size_t room,
                  bool more, int width) {
  if (room == 0)
    return;
  const auto all = lines.size();
  if (all > room || (more && all >= room)) {
    lines.resize(std::min(all, room) - 1);
    const auto left = all - lines.size();
    lines.push_back((more ? "at least " : "and ") + std::to_string(left) + " more");
  } else if (more) {
    lines.emplace_back("and more");
  }
  for (std::size_t i = 0; i < lines.size(); ++i)
    to.push_back({width > 0 ? cut_to_width(lines[i], width) : lines[i], i == 0});
}

} // namespace

std::string_view name_of(top_column column) {
  return facts_of(column).name;
}

std::vector<std::string> top_column_names() {
  std::vector<std::string> out;
  out.reserve(facts.size());
  for (const auto& fact : facts)
    out.emplace_back(fact.name);
  return out;
}

top_column read_top_column(std::string_view name) {
  for (int i = 0; i < top_columns; ++i)
    if (name == facts[static_cast<std::size_t>(i)].name)
      return static_cast<top_column>(i);
  return top_column::queue;
}

top_order top_order::moved(int steps) const {
  const auto at = (static_cast<int>(by) + steps % top_columns + top_columns) % top_columns;
  return usual(static_cast<top_column>(at));
}

std::vector<queue_rates> rates_between(const top_reading& before, const top_reading& now) {
  const auto time = passed(before, now);
  std::vector<queue_rates> out;
  if (time <= 0)
    return out;
  std::map<std::string_view, const queue_figures*> known;
  for (const auto& each : before.queues)
    known.emplace(each.name, &each);
  for (const auto& each : now.queues) {
    const auto found = known.find(each.name);
    // A queue begins with its first job; where only some were read, it may have been there before.
    const bool is_new = found == known.end() && !before.more_queues;
    out.push_back(found != known.end() ? between(*found->second, each, time)
                  : is_new             ? between({}, each, time)
                                       : queue_rates{});
  }
  return out;
}

std::vector<screen_line> top_frame(const top_input& input, terminal_size size) {
  const auto rows = static_cast<std::size_t>(std::max(size.rows, 1));
  const int width = std::max(size.columns, 1);
  const auto queues = sorted(input);
  std::vector<screen_line> out;
  for (const auto& line : head_lines(input, queues))
    out.push_back({cut_to_width(line, width), false});
  // A head alone is of use, a table of one line is not.
  constexpr std::size_t least_table = 2;
  if (out.size() + least_table > rows) {
    out.resize(std::min(out.size(), rows));
    return out;
  }
  const bool keys = rows >= out.size() + least_table + 4;
  auto room = rows - out.size() - (keys ? 1 : 0);
  auto table = queue_lines(queues, input.order, width);
  auto jobs = job_lines(*input.now, width);
  const auto wanted = table.size() + 1;
  const auto jobs_wanted = jobs.size() + (input.now->more_running ? 1 : 0) + 1;
  const auto for_jobs =
      room < 2 * (least_table + 1)
          ? 0
          : std::min(jobs_wanted, std::max(room / 2, room - std::min(room, wanted)));
  append_table(out, std::move(table), room - for_jobs, input.now->more_queues, width);
  if (for_jobs > 0) {
    out.push_back({"", false});
    append_table(out, std::move(jobs), for_jobs - 1, input.now->more_running, width);
  }
  if (keys) {
    out.resize(rows - 1);
    out.push_back(
        {cut_to_width("q quit   p pause   left, right, Tab: sort by   up, down: order", width),
         false});
  }
  return out;
}

std::string top_text(const top_input& input, int columns) {
  const auto queues = sorted(input);
  std::vector<screen_line> lines;
  for (const auto& line : head_lines(input, queues))
    lines.push_back({columns > 0 ? cut_to_width(line, columns) : line, false});
  constexpr std::size_t all = 1'000'000;
  lines.push_back({"", false});
  append_table(lines, queue_lines(queues, input.order, columns), all, input.now->more_queues,
               columns);
  lines.push_back({"", false});
  append_table(lines, job_lines(*input.now, columns), all, input.now->more_running, columns);
  std::string out;
  for (const auto& line : lines)
    out += line.text + "\n";
  return out;
}

std::string top_json(const top_input& input) {
  using nlohmann::ordered_json;
  const auto& now = *input.now;
  const auto queues = sorted(input);
  auto list = ordered_json::array();
  for (const auto& row : queues.rows) {
    const auto& queue = row.first;
    const auto rate = [&row](double queue_rates::*member) {
      return row.second ? ordered_json((*row.second).*member) : ordered_json{};
    };
    list.push_back({{"queue", queue.name},
                    {"paused", queue.paused},
                    {"scheduled", queue.scheduled},
                    {"available", queue.available},
                    {"running", queue.running},
                    {"retryable", queue.retryable},
                    {"completed", queue.completed},
                    {"cancelled", queue.cancelled},
                    {"discarded", queue.discarded},
                    {"enqueued_per_second", rate(&queue_rates::in)},
                    {"completed_per_second", rate(&queue_rates::done)},
                    {"discarded_per_second", rate(&queue_rates::failed)}});
  }
  auto jobs = ordered_json::array();
  for (const auto& job : now.running) {
    const auto age = age_of(job, now);
    jobs.push_back({{"id", job.id},
                    {"kind", job.kind},
                    {"queue", job.queue},
                    {"attempt", ordered_json::parse(job.attempt, nullptr, false)},
                    {"node", job.run.node.empty() ? ordered_json{} : ordered_json(job.run.node)},
                    {"age_seconds", age ? ordered_json(*age) : ordered_json{}}});
  }
  auto nodes = ordered_json::array();
  for (const auto& node : now.nodes)
    nodes.push_back({{"name", node.name}, {"state", node.state}, {"running", node.running}});
  const ordered_json out{{"taken_at", time_text(now.taken_at)},
                         {"seconds", input.before == nullptr
                                         ? ordered_json{}
                                         : ordered_json(passed(*input.before, now))},
                         {"node",
                          {{"name", now.node.name},
                           {"version", now.node.version},
                           {"status", now.node.status},
                           {"trouble", now.node.trouble},
                           {"running", now.node.running},
                           {"backlog", now.node.backlog},
                           {"stuck", now.node.stuck}}},
                         {"nodes", std::move(nodes)},
                         {"more_nodes", now.more_nodes},
                         {"queues", std::move(list)},
                         {"more_queues", now.more_queues},
                         {"running", std::move(jobs)},
                         {"more_running", now.more_running}};
  return printable_json(out.dump(-1, ' ', false, ordered_json::error_handler_t::replace)) + "\n";
}

} // namespace troupe::cli
