// export: a text of any length from a running server to a file or to standard output, as it comes.
#include "cli/commands.hpp"
#include "cli/filter_options.hpp"
#include "cli/http_client.hpp"
#include "cli/look_pause.hpp"
#include "cli/outage.hpp"
#include "cli/output_file.hpp"
#include "cli/progress_bar.hpp"
#include "cli/signals.hpp"
#include "cli/text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>

namespace troupe::cli {

namespace {

using steady = std::chrono::steady_clock;

constexpr std::chrono::milliseconds redraw{200};

std::string path_of(const invocation& wanted) {
  auto query = filter_query(wanted.list);
  if (wanted.exported.limit)
    query += "&limit=" + std::to_string(*wanted.exported.limit);
  if (!query.empty())
    query.front() = '?';
  return "/api/v1/jobs." + wanted.exported.format + query;
}

/// One line on a terminal, drawn over itself.
class drawn_progress {
public:
  drawn_progress() = default;
  void add(std::size_t bytes) {
    bytes_ += static_cast<std::int64_t>(bytes);
    say(bytes_text(bytes_));
  }
  void say(const std::string& words) {
    const auto now = steady::now();
    if (shown_ && now - drawn_ >= redraw) {
      drawn_ = now;
      const std::chrono::duration<double> spent = now - begun_;
      std::fprintf(stderr, "\r\x1b[K%s in %s", printable(words).c_str(),
                   duration_text(spent.count()).c_str());
      std::fflush(stderr);
    }
  }
  ~drawn_progress() {
    if (shown_)
      std::fputs("\r\x1b[K", stderr);
  }
  drawn_progress(const drawn_progress&) = delete;
  drawn_progress& operator=(const drawn_progress&) = delete;

private:
  bool shown_ = terminal_width() > 0;
  std::int64_t bytes_ = 0;
  steady::time_point begun_ = steady::now();
  steady::time_point drawn_ = begun_;
};

} // namespace

namespace {

using nlohmann::json;

std::string order_of(const invocation& wanted) {
  const auto filter = filter_members(wanted.list);
  return R"({"format":")" + wanted.exported.format + R"(","compression":")"
         + (wanted.exported.gzip ? "gzip" : "none") + '"' + (filter.empty() ? "" : ",") + filter
         + (wanted.exported.limit ? ",\"limit\":" + std::to_string(*wanted.exported.limit) : "")
         + '}';
}

/// What is known of a file that was written; null: not known.
struct written_file {
  std::int64_t bytes = 0;
  json jobs;
  json sha256;
  json id; ///< of the export that the server keeps
};

void report(const invocation& wanted, const written_file& file) {
  if (!wanted.json)
    return;
  const nlohmann::ordered_json out{{"file", wanted.exported.out},
                                   {"bytes", file.bytes},
                                   {"jobs", file.jobs},
                                   {"sha256", file.sha256},
                                   {"export", file.id}};
  print(printable_json(out.dump(-1, ' ', false, json::error_handler_t::replace)) + "\n");
}

/// A file that the server makes, keeps for a day, and gives in parts.
class stored_export {
public:
  stored_export(const invocation& wanted, http_client& server) : wanted_(wanted), server_(server) {}

  written_file run() {
    growing_output file(wanted_.exported.out);
    const auto told = json::parse(
        server_.request("POST", "/api/v1/exports", order_of(wanted_)).body, nullptr, false);
    if (!told.is_object() || !told.contains("id") || !told["id"].is_string())
      throw command_error(exit_code::failed, "this is no answer of a Troupe server");
    id_ = told["id"].get<std::string>();
    away_.heard();
    await();
    fetch(file);
    file.finish();
    return {got_, jobs_, sha256_, id_};
  }

private:
  std::string path() const { return "/api/v1/exports/" + http_client::escaped(id_); }

  /// What does not say that it is over: nobody answers, or not whole.
  void outlast(const command_error& why) {
    const bool part_came = dynamic_cast<const cut_off*>(&why) != nullptr;
    if (!away_.bears(why) && !(part_came && away_.is_short()))
      throw why;
  }
  void pause(bool news) {
    if (signals_.wait_for(pause_.after(news)))
      throw command_error(exit_code::interrupted,
                          "interrupted; nothing was kept here, export " + id_ + " goes on");
  }

  void await() {
    std::string last;
    for (;;) {
      try {
        const auto told = json::parse(server_.request("GET", path()).body, nullptr, false);
        away_.heard();
        if (look(told))
          return;
        const bool news = told.value("progress", "") != last;
        last = told.value("progress", "");
        progress_.say(told.value("state", "") + (last.empty() ? "" : ", " + last));
        pause(news);
      } catch (const command_error& e) {
        if (e.code() == exit_code::interrupted)
          throw;
        outlast(e);
        pause(false);
      }
    }
  }
  /// True when the file is there.
  bool look(const json& told) {
    if (!told.is_object())
      throw command_error(exit_code::failed, "this is no answer of a Troupe server");
    const auto state = told.value("state", "");
    if (const auto file = told.find("file"); file != told.end() && file->is_object()) {
      size_ = file->value("bytes", std::int64_t{0});
      sha256_ = file->value("sha256", "");
      jobs_ = file->value("rows", json{});
      return true;
    }
    if (state == "discarded" || state == "cancelled" || state == "completed")
      throw command_error(exit_code::job_failed,
                          "export " + id_
                              + (state == "completed" ? " has expired" : " was " + state)
                              + (told.contains("error") && told["error"].is_string()
                                     ? ": " + told["error"].get<std::string>()
                                     : ""));
    return false;
  }

  void fetch(growing_output& file) {
    while (got_ < size_) {
      try {
        server_.download(path() + "/file",
                         [&](std::string_view bytes) {
                           if (signals_.signal() != 0)
                             throw command_error(exit_code::interrupted,
                                                 "interrupted; nothing was kept here, export " + id_
                                                     + " is kept for a day");
                           file.write(bytes);
                           got_ += static_cast<std::int64_t>(bytes.size());
                           away_.heard();
                           progress_.say(bytes_text(got_) + " of " + bytes_text(size_));
                         },
                         {got_, '"' + sha256_ + '"'});
      } catch (const command_error& e) {
        outlast(e);
        pause(false);
      }
    }
  }

  const invocation& wanted_;
  http_client& server_;
  signal_watch signals_; ///< an interrupted one leaves nothing here
  drawn_progress progress_;
  look_pause pause_{look_pause::watching};
  outage away_;
  std::string id_;
  std::string sha256_;
  json jobs_;
  std::int64_t size_ = 0;
  std::int64_t got_ = 0;
};

} // namespace

exit_code run_export(const invocation& wanted) {
  http_client server(wanted.client);
  const auto& out = wanted.exported.out;
  if (wanted.exported.stored) {
    report(wanted, stored_export(wanted, server).run());
    return exit_code::ok;
  }
  if (out.empty()) {
    exit_on_interrupt();
    server.download(path_of(wanted), [](std::string_view bytes) { print(std::string{bytes}); });
    return exit_code::ok;
  }
  const signal_watch signals; // an interrupted one leaves nothing either
  growing_output file(out);
  drawn_progress progress;
  written_file told;
  std::int64_t lines = 0;
  server.download(path_of(wanted), [&](std::string_view bytes) {
    if (signals.signal() != 0)
      throw command_error(exit_code::interrupted, "interrupted; nothing was kept");
    file.write(bytes);
    progress.add(bytes.size());
    told.bytes += static_cast<std::int64_t>(bytes.size());
    lines += std::count(bytes.begin(), bytes.end(), '\n');
  });
  file.finish();
  if (wanted.exported.format == "ndjson") // elsewhere a line is no job
    told.jobs = lines;
  report(wanted, told);
  return exit_code::ok;
}

} // namespace troupe::cli
