// The commands that talk HTTP, see command_line.hpp.
#include "cli/bulk_options.hpp"
#include "cli/choice.hpp"
#include "cli/command_line.hpp"
#include "cli/enqueue_options.hpp"
#include "cli/filter_options.hpp"
#include "cli/job_watch.hpp"
#include "cli/settings.hpp"
#include "cli/text.hpp"
#include "cli/top_view.hpp"
#include "messages/job_export.hpp"
#include "messages/node.hpp"
#include "messages/queue.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>
#include <stdexcept>
#include <tuple>

namespace troupe::cli {

void command_line::add_client(CLI::App* app) {
  sources_.bind(
      app,
      app->add_option("--url", out_.client.url,
                      "The server to talk to: http://HOST:PORT, https://HOST:PORT or unix:PATH")
          ->capture_default_str(),
      "TROUPE_URL", "");
  sources_.bind(app,
                app->add_option("--ca-file", out_.client.ca_file,
                                "Authorities to trust with https, in PEM, in place of the system's")
                    ->type_name("FILE"),
                "TROUPE_CA_FILE", "");
  add_token_file(app);
  app->add_option("--request-timeout", out_.client.timeout, "Seconds for one request")
      ->check(number_in(0.1, 3600.0))
      ->capture_default_str();
  add_json(app);
}

void command_line::add_enqueue() {
  auto* app = add(app_, command::enqueue, "enqueue", "Put a job in; prints its id");
  add_enqueue_options(*app, out_.enqueue);
  add_client(app);
}

void command_line::add_jobs() {
  auto* jobs = app_.add_subcommand("jobs", "Look at jobs and steer them");
  jobs->require_subcommand(1);
  auto* lists = add(*jobs, command::jobs_list, "list", "Jobs, newest first");
  lists->alias("ls");
  add_filter_options(*lists, out_.list);
  auto* limit = lists->add_option("--limit", out_.list.limit, "At most so many")
                    ->check(CLI::Range(1, 1'000'000'000))
                    ->capture_default_str();
  lists->add_flag("--all", out_.list.all, "Every job that fits")->excludes(limit);
  add_client(lists);
  const auto about = [&](command what, const char* name, const char* description, bool several) {
    auto* app = add(*jobs, what, name, description);
    auto* ids = app->add_option("id", out_.ids, "The job's number")->required();
    if (!several)
      ids->expected(1);
    add_client(app);
    return app;
  };
  auto* counts = add(*jobs, command::jobs_counts, "counts", "How many jobs are in each state");
  counts->add_option("--queue", out_.list.queue, "Only of this queue");
  add_client(counts);
  about(command::jobs_get, "get", "Jobs with their attempts, and how far they are", true)
      ->alias("show");
  auto* logs = about(command::jobs_logs, "logs", "What the runs of a job said", false);
  logs->add_option("--after", out_.log.after, "Only lines above this number")
      ->check(CLI::Range(std::int64_t{0}, std::numeric_limits<std::int64_t>::max()));
  logs->add_flag("--follow", out_.log.follow, "Go on until the job ends");
  about(command::jobs_why, "why", "What holds a job that does not run", false);
  auto* watch = about(command::jobs_watch, "watch",
                      "Follow jobs until they have ended; exit 8 when one did not complete", true);
  watch->alias("wait");
  watch->get_option("id")->expected(1, job_watch::most_jobs);
  watch->add_option("--timeout", out_.wait_limit, "Seconds to follow them at most, then exit 7")
      ->check(number_in(0.0, longest_seconds));
  about(command::jobs_cancel, "cancel", "Cancel jobs, waiting or running", true);
  about(command::jobs_retry, "retry", "Make jobs run again, or at once", true);
  about(command::jobs_delete, "delete", "Delete jobs that do not run", true);
  add_edit_options(*about(command::jobs_edit, "edit", "Change a job that waits", false), out_.edit);
  auto* bulk = add(*jobs, command::jobs_bulk, "bulk",
                   "Cancel, retry, delete, move or reprioritise many jobs");
  add_bulk_options(*bulk, out_.bulk);
  bulk->add_option("--timeout", out_.wait_limit,
                   "Seconds to wait for its end at most, then exit 7; it goes on")
      ->check(number_in(0.0, longest_seconds));
  add_client(bulk);
}

void command_line::add_export() {
  auto* app = add(app_, command::export_jobs, "export", "All jobs of a filter as one text");
  app->add_option("--format", out_.exported.format,
                  "ndjson, csv or json; without it as the name of --out ends, or else ndjson")
      ->check(one_of({"ndjson", "csv", "json"}));
  add_filter_options(*app, out_.list);
  app->add_option("--limit", out_.exported.limit, "At most so many, the oldest ones")
      ->check(CLI::Range(std::int64_t{1}, limits::export_jobs));
  auto* out = app->add_option("--out", out_.exported.out,
                              "The file, which is there when it is whole; else standard output");
  auto* stored = app->add_flag("--stored", out_.exported.stored,
                               "Let the server make a file first, and fetch that; what is cut off "
                               "goes on where it was");
  stored->needs(out);
  app->add_flag("--gzip", out_.exported.gzip, "A file in gzip's format")->needs(stored);
  add_client(app);
}

void command_line::add_queues() {
  auto* queues = app_.add_subcommand("queues", "Look at queues and steer them");
  queues->require_subcommand(1);
  add_client(add(*queues, command::queues_list, "list", "All queues, by name")->alias("ls"));
  const auto about = [&](command what, const char* name, const char* description) {
    auto* app = add(*queues, what, name, description);
    auto* names = app->add_option("queue", out_.ids, "The queue's name")->required();
    if (what == command::queues_drain) // each would be waited for before the next is paused
      names->expected(1);
    add_client(app);
    return app;
  };
  about(command::queues_show, "show", "One queue with its limits")->alias("get");
  const auto change = [&](command what, const char* name, const char* description) {
    auto* app = about(what, name, description);
    app->add_flag("--create", out_.create_queue, "Make the queue when there is none of that name");
    return app;
  };
  change(command::queues_pause, "pause", "Hand out nothing more; what runs goes on");
  about(command::queues_resume, "resume", "End a pause");
  auto* drain =
      change(command::queues_drain, "drain", "Pause, and wait until nothing of the queue runs");
  drain->add_option("--timeout", out_.wait_limit, "Seconds to wait at most, then exit 7")
      ->check(number_in(0.0, longest_seconds));
  auto* limit =
      change(command::queues_limit, "limit", "Set what limits a queue, on all nodes together");
  limit->add_option("--concurrency", concurrency_, "Runs at once: a number, or none");
  limit->add_option("--key-concurrency", key_concurrency_,
                    "Runs at once of the jobs of each limit_key: a number, or none");
  limit
      ->add_option("--ordered", ordered_,
                   "on: one job after the other, in the order in which they were put in; or off")
      ->check(one_of({"on", "off"}));
  const auto add_rate = [&](const std::string& of, std::string& text, int& burst) {
    auto* rate = limit->add_option("--" + of + "rate", text,
                                   of.empty() ? "Jobs in a time, such as 10/s or 100/5min; or none"
                                              : "The same of the jobs of each limit_key");
    limit->add_option("--" + of + "burst", burst, "So many of them may come at once (1)")
        ->check(CLI::Range(1, limits::max_rate))
        ->needs(rate);
  };
  add_rate("", rate_, burst_);
  add_rate("key-", key_rate_, key_burst_);
  limit->add_option(
      "--max-waiting", max_waiting_,
      "Jobs that may be available: a number, or none; beyond it enqueues are refused");
  add_nodes();
}

void command_line::add_nodes() {
  auto* nodes = app_.add_subcommand("nodes", "Look at the nodes of a database, and drain them");
  nodes->require_subcommand(1);
  auto* lists = add(*nodes, command::nodes_list, "list",
                    "Nodes, the newest first: those whose lives are not over")
                    ->alias("ls");
  std::vector<std::string> states;
  for (const auto state : {node_state::alive, node_state::draining, node_state::silent,
                           node_state::leaving, node_state::left, node_state::dead})
    states.emplace_back(to_string(state));
  lists->add_option("--state", out_.list.state, "Only those in this state")->check(one_of(states));
  add_client(lists);
  const auto about = [&](command what, const char* name, const char* description) {
    auto* app = add(*nodes, what, name, description);
    app->add_option("node", out_.ids, "The node's name")->required()->expected(1);
    add_client(app);
    return app;
  };
  about(command::nodes_show, "show", "The newest life of one node")->alias("get");
  about(command::nodes_drain, "drain",
        "Hand out nothing more to it, and wait until it runs nothing; its process goes on")
      ->add_option("--timeout", out_.wait_limit, "Seconds to wait at most, then exit 7")
      ->check(number_in(0.0, longest_seconds));
  about(command::nodes_resume, "resume", "End a drain");
  about(command::nodes_quiet, "quiet",
        "Give a worker that takes jobs by HTTP no more of them; what it has it finishes");
  about(command::nodes_terminate, "terminate",
        "Ask such a worker to end; it gives back what it has");
}

void command_line::add_top() {
  auto* app = add(app_, command::top, "top",
                  "Watch queues and running jobs; q ends it. Once, when there is no terminal");
  app->add_flag("--once", out_.top.once, "Print what there is, and end");
  app->add_option("--interval", out_.top.interval, "Seconds between two readings")
      ->check(number_in(0.1, 3600.0))
      ->capture_default_str();
  app->add_option("--queue", out_.top.queue,
                  "Only this queue, as for a token that is for some queues only");
  app->add_option("--sort", out_.top.sort, "The column that queues are sorted by")
      ->check(one_of(top_column_names()))
      ->capture_default_str();
  add_client(app);
}

void check_names(const std::vector<std::string>& queues) {
  for (const auto& name : queues)
    if (!is_valid_name(name))
      throw std::invalid_argument("'" + printable(name)
                                  + "' is no queue: a name is 1 to 128 of A-Z a-z 0-9 . _ : -");
}

namespace {

int read_number(const std::string& option, const std::string& text, int most) {
  const char* last = text.data() + text.size();
  int number = 0;
  const auto [end, ec] = std::from_chars(text.data(), last, number);
  if (ec != std::errc{} || end != last || number < 1 || number > most)
    throw std::invalid_argument(option + ": '" + printable(text) + "' is neither 1 to "
                                + std::to_string(most) + " nor none");
  return number;
}

/// N/TIME as the JSON of a rate. A time without a number is one of its unit.
std::string rate_json(const std::string& option, const std::string& text, int burst) {
  const auto slash = text.find('/');
  if (slash == std::string::npos || slash + 1 == text.size())
    throw std::invalid_argument(option + ": '" + printable(text)
                                + "' is neither JOBS/TIME, such as 10/s or 100/5min, nor none");
  const auto jobs = read_number(option, text.substr(0, slash), limits::max_rate);
  auto time = text.substr(slash + 1);
  if (time.find_first_of("0123456789") != 0)
    time.insert(0, "1");
  std::chrono::milliseconds period{0};
  try {
    period = read_duration(time);
  } catch (const std::invalid_argument& wrong) {
    throw std::invalid_argument(option + ": " + wrong.what());
  }
  if (period < std::chrono::milliseconds{1} || period > limits::max_rate_period)
    throw std::invalid_argument(option + ": the time must be 1ms to 24h");
  return R"({"jobs":)" + std::to_string(jobs) + R"(,"period_ms":)" + std::to_string(period.count())
         + R"(,"burst":)" + std::to_string(std::max(1, burst)) + "}";
}

} // namespace

void command_line::finish_queue_limit() {
  check_names(out_.ids);
  std::string body;
  const auto add = [&](const char* name, const std::string& text, auto read) {
    if (!text.empty())
      body += (body.empty() ? "\"" : ",\"") + std::string{name}
              + "\":" + (text == "none" ? std::string{"null"} : read());
  };
  const auto jobs = [&](const char* name, const char* option, const std::string& text, int most) {
    add(name, text, [&] { return std::to_string(read_number(option, text, most)); });
  };
  for (const auto& [option, rate, burst] :
       {std::tuple{"--burst", rate_, burst_}, std::tuple{"--key-burst", key_rate_, key_burst_}})
    if (rate == "none" && burst > 0)
      throw std::invalid_argument(std::string{option} + " goes with a rate, and none is none");
  jobs("concurrency", "--concurrency", concurrency_, limits::max_concurrency);
  add("rate", rate_, [&] { return rate_json("--rate", rate_, burst_); });
  jobs("key_concurrency", "--key-concurrency", key_concurrency_, limits::max_concurrency);
  add("key_rate", key_rate_, [&] { return rate_json("--key-rate", key_rate_, key_burst_); });
  add("ordered", ordered_, [&] { return std::string{ordered_ == "on" ? "true" : "false"}; });
  jobs("max_waiting", "--max-waiting", max_waiting_, limits::max_waiting);
  if (body.empty())
    throw std::invalid_argument("give --concurrency, --rate, --key-concurrency, --key-rate, "
                                "--max-waiting or --ordered; none takes a limit away");
  out_.patch = "{" + body + "}";
}

} // namespace troupe::cli
