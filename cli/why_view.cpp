#include "cli/why_view.hpp"

#include "cli/answer.hpp"
#include "cli/exit_code.hpp"
#include "cli/job_view.hpp"
#include "cli/text.hpp"
#include "messages/why.hpp"

namespace troupe::cli {

namespace {

std::string time_of(const json& hold, const char* name) {
  return short_time(field(hold, name));
}

/// "; about 3 jobs go first", or nothing.
std::string ahead_of(const json& hold) {
  const auto ahead = field(hold, "ahead");
  if (ahead.empty() || ahead == "0")
    return {};
  const bool more = hold.value("more_ahead", false);
  return (more ? "; more than " : "; about ") + ahead + (ahead == "1" ? " job goes" : " jobs go")
         + " first";
}

std::string in_use_of(const json& hold, const std::string& whose) {
  const auto node = field(hold, "node"); // it was claimed ahead
  return "waits" + (node.empty() ? "" : " on " + node) + ": " + field(hold, "in_use") + " of "
         + whose + " run, and the limit is " + field(hold, "allowed") + ahead_of(hold);
}

std::string used_up(const json& hold, const std::string& whose) {
  return "waits until " + time_of(hold, "due_at") + ": the rate of " + whose + " is used up"
         + ahead_of(hold);
}

std::string time_sentence(const json& hold) {
  const auto due = time_of(hold, "due_at");
  if (field(hold, "state") != "retryable")
    return "waits for its time, " + due;
  const auto error = field(hold, "error");
  return "is tried again at " + due + (error.empty() ? "" : "; it failed: " + error);
}

std::string late_sentence(const json& hold, const std::string& queue) {
  if (const auto due = time_of(hold, "due_at"); !due.empty() && field(hold, "since").empty())
    return "waits: it was due at " + due + ", and no node has noticed yet";
  return "waits: the nodes of " + queue + " are late, the last heartbeat was at "
         + time_of(hold, "since");
}

std::string no_node_sentence(const json& hold, const std::string& queue) {
  const auto last = time_of(hold, "since");
  return "waits: no live node serves " + queue
         + (last.empty() ? "" : "; the last heartbeat was at " + last);
}

std::string no_kind_sentence(const json& hold, const std::string& queue) {
  const auto due = time_of(hold, "due_at");
  return "waits: no live node of " + queue + " has kind " + field(hold, "kind")
         + (due.empty() ? "" : "; it is tried again at " + due);
}

std::string order_sentence(const json& hold, const std::string& queue) {
  const auto node = field(hold, "node");
  const auto due = time_of(hold, "due_at");
  return "waits: " + queue + " is ordered, and job " + field(hold, "holder") + " before it "
         + (!node.empty()  ? "runs on " + node
            : !due.empty() ? "goes on at " + due
                           : "has not ended");
}

std::string body_of(const json& hold) {
  const auto queue = "queue " + field(hold, "queue");
  const auto key = "key " + field(hold, "limit_key") + " in " + queue;
  const auto word = field(hold, "reason");
  const auto reason = parse_hold_reason(word);
  if (!reason)
    return "waits: " + word;
  switch (*reason) {
  case hold_reason::finished:
    return "has ended: " + field(hold, "state") + " at " + time_of(hold, "since");
  case hold_reason::running:
    return "runs on " + field(hold, "node") + " since " + time_of(hold, "since");
  case hold_reason::time:
    return time_sentence(hold);
  case hold_reason::key_limit:
    return in_use_of(hold, key);
  case hold_reason::key_rate:
    return used_up(hold, key);
  case hold_reason::paused:
    return "waits: " + queue + " is paused since " + time_of(hold, "since");
  case hold_reason::limit:
    return in_use_of(hold, queue);
  case hold_reason::rate:
    return used_up(hold, queue);
  case hold_reason::no_node:
    return no_node_sentence(hold, queue);
  case hold_reason::no_kind:
    return no_kind_sentence(hold, queue);
  case hold_reason::lag:
    return late_sentence(hold, queue);
  case hold_reason::turn:
    return "waits for its turn in " + queue + ahead_of(hold);
  case hold_reason::order:
    return order_sentence(hold, queue);
  case hold_reason::next:
    return "is next: a node of " + queue + " takes it when it has a free slot";
  }
  return "waits: " + word;
}

} // namespace

std::string why_sentence(std::string_view answer) {
  const auto hold = read_object(answer);
  if (field(hold, "reason").empty())
    throw command_error(exit_code::failed, "the server's answer gives no reason");
  return printable("job " + field(hold, "id") + " " + body_of(hold));
}

} // namespace troupe::cli
