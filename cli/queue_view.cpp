#include "cli/queue_view.hpp"

#include "cli/answer.hpp"
#include "cli/exit_code.hpp"
#include "cli/job_view.hpp"
#include "cli/suggest.hpp"

namespace troupe::cli {

namespace {

std::string limit_of(const json& queue, const char* name = "concurrency") {
  const auto limit = field(queue, name);
  return limit.empty() ? "none" : limit;
}

std::string rate_of(const json& queue, const char* name = "rate") {
  const auto rate = queue.find(name);
  if (rate == queue.end() || !rate->is_object())
    return "none";
  const auto period = rate->value("period_ms", std::int64_t{0});
  const auto unit = period == 1000        ? "s"
                    : period == 60'000    ? "min"
                    : period == 3'600'000 ? "h"
                                          : "";
  return field(*rate, "jobs") + "/" + (*unit ? unit : std::to_string(period) + "ms");
}

std::string state_of(const json& queue) {
  return queue.value("paused", false) ? "paused" : "open";
}

std::string order_of(const json& queue) {
  return queue.value("ordered", false) ? "yes" : "no";
}

} // namespace

table queues_table() {
  return table({{"QUEUE"},
                {"STATE"},
                {"WAITING", true},
                {"RUNNING", true},
                {"CONCURRENCY", true},
                {"RATE", true}});
}

void add_queues(table& to, std::string_view answer) {
  const auto page = read_object(answer);
  const auto queues = page.find("queues");
  if (queues == page.end() || !queues->is_array())
    throw command_error(exit_code::failed, "the server's answer holds no list of queues");
  for (const auto& queue : *queues)
    if (queue.is_object())
      to.add({field(queue, "name"), state_of(queue), field(queue, "waiting"),
              field(queue, "running"), limit_of(queue), rate_of(queue)});
}

table counts_table() {
  return table({{"QUEUE"},
                {"SCHEDULED", true},
                {"AVAILABLE", true},
                {"RUNNING", true},
                {"RETRYABLE", true},
                {"COMPLETED", true},
                {"CANCELLED", true},
                {"DISCARDED", true}});
}

void add_counts(table& to, std::string_view answer) {
  const auto page = read_object(answer);
  const auto queues = page.find("queues");
  if (queues == page.end() || !queues->is_array())
    throw command_error(exit_code::failed, "the server's answer holds no list of queues");
  for (const auto& one : *queues)
    if (one.is_object())
      to.add({field(one, "queue"), field(one, "scheduled"), field(one, "available"),
              field(one, "running"), field(one, "retryable"), field(one, "completed"),
              field(one, "cancelled"), field(one, "discarded")});
}

std::string queue_details(std::string_view text) {
  const auto queue = read_object(text);
  table fields({{"FIELD"}, {"VALUE"}});
  fields.add({"name", field(queue, "name")});
  fields.add({"state", state_of(queue)});
  if (const auto since = field(queue, "paused_at"); !since.empty())
    fields.add({"paused_at", short_time(since)});
  fields.add({"waiting", field(queue, "waiting")});
  fields.add({"running", field(queue, "running")});
  fields.add({"ordered", order_of(queue)});
  fields.add({"concurrency", limit_of(queue)});
  fields.add({"rate", rate_of(queue)});
  if (const auto rate = queue.find("rate"); rate != queue.end() && rate->is_object())
    fields.add({"burst", field(*rate, "burst")});
  fields.add({"key_concurrency", limit_of(queue, "key_concurrency")});
  fields.add({"key_rate", rate_of(queue, "key_rate")});
  if (const auto rate = queue.find("key_rate"); rate != queue.end() && rate->is_object())
    fields.add({"key_burst", field(*rate, "burst")});
  fields.add({"max_waiting", limit_of(queue, "max_waiting")});
  return fields.take();
}

std::int64_t running_of(std::string_view text) {
  const auto queue = read_object(text);
  const auto running = queue.find("running");
  if (running == queue.end() || !running->is_number_integer())
    throw command_error(exit_code::failed, "the server's answer does not say what runs");
  return running->get<std::int64_t>();
}

void add_names(std::vector<std::string>& to, std::string_view answer) {
  const auto page = read_object(answer);
  if (const auto queues = page.find("queues"); queues != page.end() && queues->is_array())
    for (const auto& one : *queues)
      if (one.is_object())
        to.push_back(field(one, "name"));
}

std::string unknown_queue(const std::string& name, const std::vector<std::string>& known,
                          bool can_be_made) {
  const auto near = nearest(name, known);
  auto text = "there is no queue of the name " + name;
  if (!near.empty())
    text += "; did you mean " + near + "?";
  if (can_be_made)
    text += near.empty() ? "; --create makes it" : " Else --create makes it";
  return text;
}

std::string next_queue(std::string_view answer) {
  return field(read_object(answer), "next");
}

} // namespace troupe::cli
