// jobs bulk and jobs edit: HTTP to a running server. The operation is the server's: whoever stops
// looking changes nothing.
#include "cli/bulk_options.hpp"
#include "cli/commands.hpp"
#include "cli/http_client.hpp"
#include "cli/job_view.hpp"
#include "cli/look_pause.hpp"
#include "cli/outage.hpp"
#include "cli/progress_bar.hpp"
#include "cli/progress_display.hpp"
#include "cli/signals.hpp"
#include "cli/text.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <thread>

namespace troupe::cli {

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

const std::string bulk_path = "/api/v1/bulk";

nlohmann::json parsed(const std::string& body) {
  auto read = nlohmann::json::parse(body, nullptr, false);
  if (!read.is_object())
    throw command_error(exit_code::failed, "the server's answer is no operation");
  return read;
}

std::string text_of(const nlohmann::json& from, const char* name) {
  const auto found = from.find(name);
  if (found == from.end() || found->is_null())
    return "";
  return printable(found->is_string() ? found->get<std::string>() : found->dump());
}

std::string sentence(const nlohmann::json& operation) {
  auto out = "bulk " + text_of(operation, "id") + " (" + text_of(operation, "action") + ") is "
             + text_of(operation, "state") + ": " + text_of(operation, "changed") + " changed, "
             + text_of(operation, "skipped") + " passed by";
  if (const auto error = text_of(operation, "error"); !error.empty())
    out += "; the last step was undone and is tried again: " + error;
  return out;
}

std::string previewed(const std::string& body, const std::string& action) {
  const auto read = parsed(body);
  const bool more = read.value("more", false);
  std::string out =
      action + " would meet " + (more ? "at least " : "") + text_of(read, "matched") + " jobs";
  if (const auto sample = read.find("sample"); sample != read.end() && sample->is_array()) {
    std::string ids;
    for (const auto& id : *sample)
      ids += (ids.empty() ? ": " : ", ") + printable(id.is_string() ? id.get<std::string>() : "");
    out += ids;
    if (more || std::to_string(sample->size()) != text_of(read, "matched"))
      out += ids.empty() ? "" : ", ...";
  }
  return out;
}

/// Ids are looked through upwards: how far is known once the first of them were met.
class bulk_progress {
public:
  bulk_view of(const nlohmann::json& operation) {
    const auto number = [&](const char* name) -> std::int64_t {
      return std::strtoll(text_of(operation, name).c_str(), nullptr, 10);
    };
    bulk_view out;
    out.action = text_of(operation, "action");
    out.changed = number("changed");
    out.skipped = number("skipped");
    const auto reached = number("reached");
    if (reached > 0 && first_ == 0) {
      first_ = reached;
      since_ = steady::now();
    }
    if (const auto all = number("up_to") - first_; first_ > 0 && all > 0)
      out.share = static_cast<double>(reached - first_) / static_cast<double>(all);
    out.seconds = std::chrono::duration<double>(steady::now() - since_).count();
    return out;
  }

private:
  std::int64_t first_ = 0;
  steady::time_point since_;
};

std::string follow(http_client& server, std::string operation, const std::optional<double>& limit) {
  const auto began = steady::now();
  if (limit)
    server.give_up_after(std::chrono::duration<double>(*limit));
  auto read = parsed(operation);
  const auto id = text_of(read, "id");
  tell("bulk " + id
       + " has begun; it goes on without this command, and ends with 'troupe jobs bulk stop " + id
       + "'");
  const auto path = bulk_path + "/" + id;
  progress_display display;
  bulk_progress progress;
  auto said = steady::now();
  outage away;
  away.heard();
  look_pause pause{look_pause::waiting};
  while (text_of(read, "state") == "running") {
    if (limit && steady::now() - began >= std::chrono::duration<double>(*limit)) {
      display.clear();
      throw command_error(exit_code::timed_out, sentence(read) + "; it goes on");
    }
    std::this_thread::sleep_for(pause.after(false));
    try {
      operation = server.request("GET", path).body;
      away.heard();
      read = parsed(operation);
    } catch (const command_error& e) {
      if (away.bears(e))
        continue;
      display.clear();
      auto told = "bulk " + id;
      told += " goes on; see 'troupe jobs bulk show " + id;
      throw command_error(e.code(), told + "': " + e.what());
    }
    if (steady::now() - said >= display.interval()) {
      display.show([&](int width) { return bar_line(progress.of(read), width); },
                   [&] { return sentence(read); });
      said = steady::now();
    }
  }
  display.clear();
  return operation;
}

} // namespace

exit_code run_jobs_bulk(const invocation& wanted) {
  exit_on_interrupt();
  http_client server(wanted.client);
  const auto& bulk = wanted.bulk;
  const auto show = [&](const std::string& operation) {
    print(wanted.json ? printable_json(operation) + "\n" : sentence(parsed(operation)) + "\n");
  };
  if (bulk.action == "list") {
    const auto answer = server.request("GET", bulk_path + "?limit=100").body;
    if (wanted.json)
      print(printable_json(answer) + "\n");
    const auto page = parsed(answer);
    if (!wanted.json && page.contains("operations"))
      for (const auto& operation : page["operations"])
        print(sentence(operation) + "\n");
    return exit_code::ok;
  }
  if (bulk.action == "show" || bulk.action == "stop") {
    const auto path = bulk_path + "/" + bulk.ids.front();
    show(bulk.action == "show" ? server.request("GET", path).body
                               : server.request("POST", path + "/cancel", "{}").body);
    return exit_code::ok;
  }
  if (!is_confirmed(bulk)) {
    const auto answer = server.request("POST", bulk_path, bulk_body(bulk, true)).body;
    print(wanted.json ? printable_json(answer) + "\n" : previewed(answer, bulk.action) + "\n");
    if (bulk.dry_run)
      return exit_code::ok;
    complain("nothing was done; add " + confirmation(bulk) + " to do it");
    return exit_code::usage;
  }
  show(follow(server, server.request("POST", bulk_path, bulk_body(bulk, false)).body,
              wanted.wait_limit));
  return exit_code::ok;
}

exit_code run_jobs_edit(const invocation& wanted) {
  exit_on_interrupt();
  http_client server(wanted.client);
  const auto answer =
      server.request("PATCH", "/api/v1/jobs/" + wanted.ids.front(), edit_body(wanted.edit));
  print(wanted.json ? printable_json(answer.body) + "\n" : job_details(answer.body));
  return exit_code::ok;
}

} // namespace troupe::cli
