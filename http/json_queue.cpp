#include "http/json_queue.hpp"

#include "http/problem.hpp"
#include "http/time_format.hpp"

#include <array>
#include <optional>

namespace troupe::http {

namespace {

using queue_ref = const queue_record&;

std::string number_or_null(const std::optional<int>& number) {
  return number ? std::to_string(*number) : "null";
}

std::string rate_or_null(const std::optional<job_rate>& rate) {
  if (!rate)
    return "null";
  return "{\"jobs\":" + std::to_string(rate->jobs) + ",\"period_ms\":"
         + std::to_string(rate->period.count()) + ",\"burst\":" + std::to_string(rate->burst) + '}';
}

struct queue_member {
  std::string_view name;
  void (*append)(std::string&, queue_ref);
};

constexpr std::array queue_members{
    queue_member{"name", [](std::string& out, queue_ref q) { append_json_string(out, q.name); }},
    queue_member{"paused",
                 [](std::string& out, queue_ref q) { out += q.paused_at ? "true" : "false"; }},
    queue_member{"paused_at",
                 [](std::string& out, queue_ref q) { append_time_or_null(out, q.paused_at); }},
    queue_member{"concurrency",
                 [](std::string& out, queue_ref q) { out += number_or_null(q.concurrency); }},
    queue_member{"rate", [](std::string& out, queue_ref q) { out += rate_or_null(q.rate); }},
    queue_member{"key_concurrency",
                 [](std::string& out, queue_ref q) { out += number_or_null(q.key_concurrency); }},
    queue_member{"key_rate",
                 [](std::string& out, queue_ref q) { out += rate_or_null(q.key_rate); }},
    queue_member{"ordered",
                 [](std::string& out, queue_ref q) { out += q.ordered ? "true" : "false"; }},
    queue_member{"max_waiting",
                 [](std::string& out, queue_ref q) { out += number_or_null(q.max_waiting); }},
    queue_member{"waiting",
                 [](std::string& out, queue_ref q) { out += std::to_string(q.waiting); }},
    queue_member{"running",
                 [](std::string& out, queue_ref q) { out += std::to_string(q.running); }},
    queue_member{"version",
                 [](std::string& out, queue_ref q) { out += std::to_string(q.version); }},
    queue_member{"changed_at",
                 [](std::string& out, queue_ref q) { append_time_or_null(out, q.changed_at); }}};
static_assert(queue_members.size() <= chosen_fields::most);

constexpr auto queue_names = [] {
  std::array<std::string_view, queue_members.size()> out;
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = queue_members[i].name;
  return out;
}();

} // namespace

void append_queue(std::string& out, const queue_record& queue, chosen_fields wanted) {
  out += '{';
  for (std::size_t i = 0; i < queue_members.size(); ++i) {
    if (!wanted.has(i))
      continue;
    out += out.back() == '{' ? "\"" : ",\"";
    out += queue_members[i].name;
    out += "\":";
    queue_members[i].append(out, queue);
  }
  out += '}';
}

std::span<const std::string_view> queue_fields() {
  return queue_names;
}

} // namespace troupe::http
