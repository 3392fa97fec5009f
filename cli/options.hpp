// The command line, the TROUPE_* variables and the configuration file, read into one value. Flags
// win over variables, and those over the file; what is wrong becomes a sentence that says what to
// do. Pure but for the environment and the file it reads.
#pragma once

#include "cli/bench_settings.hpp"
#include "cli/client_settings.hpp"
#include "cli/command.hpp"
#include "cli/command_tree.hpp"
#include "cli/exit_code.hpp"
#include "cli/setting_view.hpp"
#include "cli/talk.hpp"
#include "launcher/engine_options.hpp"
#include "launcher/log.hpp"
#include "messages/crawl.hpp"
#include "messages/log.hpp"
#include "messages/token.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace troupe::cli {

struct enqueue_settings {
  std::string kind;
  std::string args = "{}"; ///< JSON text; "-": read from standard input
  std::optional<std::string> queue;
  std::optional<int> priority;
  std::optional<int> max_attempts;
  std::optional<std::int64_t> timeout_ms;
  std::optional<std::int64_t> delay_ms;
  std::optional<std::string> run_at;
  std::vector<std::string> tags;
  std::optional<std::string> limit_key;
  std::optional<std::string> retry; ///< exponential, fixed, list or none, and its times
  std::optional<int> retry_jitter;  ///< percent
  std::vector<std::string> unique;  ///< kind, queue, args, args.FIELD; empty: not unique
  std::optional<std::int64_t> unique_period_ms;
  std::vector<std::string> unique_states;
  std::optional<std::string> on_conflict;
  std::optional<std::string> idempotency_key;
  bool wait = false;
  std::optional<double> wait_limit; ///< seconds; none: for ever
};

/// Which jobs are meant; what is not given does not filter.
struct filter_settings {
  std::optional<std::string> state;
  std::optional<std::string> queue;
  std::optional<std::string> kind;
  std::vector<std::string> tags;
  std::optional<std::string> limit_key;
  std::optional<std::string> created_from; ///< a time
  std::optional<std::string> created_before;
  std::optional<std::string> args; ///< JSON text
};

struct bulk_settings : filter_settings {
  std::string action; ///< of messages/bulk.hpp; or list, show, stop
  std::vector<std::string> ids;
  bool all = false;
  std::optional<std::string> to_queue;
  std::optional<int> to_priority;
  bool dry_run = false;
  bool yes = false;
  std::optional<std::string> confirm; ///< the queue of what is deleted, or all
};

struct edit_settings {
  std::optional<std::string> args; ///< JSON text
  std::optional<std::string> queue;
  std::optional<int> priority;
  std::optional<int> max_attempts;
  std::optional<std::string> timeout_ms; ///< a number, or none
  std::vector<std::string> tags;
  bool no_tags = false;
  std::optional<std::string> run_at; ///< a time, or now
};

struct list_settings : filter_settings {
  int limit = 50;
  bool all = false;
};

struct export_settings {
  std::string format;                ///< ndjson, csv, json
  std::string out;                   ///< empty: standard output
  bool stored = false;               ///< made and kept by the server, then fetched
  bool gzip = false;                 ///< of a stored one: the file
  std::optional<std::int64_t> limit; ///< the oldest ones
};

struct log_settings {
  std::int64_t after = 0; ///< the number of the last line that is known
  bool follow = false;    ///< until the job ends
};

struct scrape_settings {
  std::string url;
  std::string out; ///< empty: no file
  std::optional<int> max_pages;
  std::optional<int> max_depth;
  std::vector<selector> selectors;
  std::optional<double> limit; ///< seconds for the crawl; none: for ever
};

struct top_settings {
  bool once = false;
  double interval = 1;        ///< seconds between two readings
  std::string sort = "queue"; ///< a column of top_view.hpp
  std::string queue;          ///< the only one that is shown; empty: all
};

struct invocation {
  command what = command::version;
  bool json = false;
  manner talk;
  engine_options engine;               ///< dev, serve, migrate, scrape, bench, doctor, tokens
  std::optional<log::level> log_level; ///< none: TROUPE_LOG is not set either
  log::format log_format = log::format::automatic;
  client_settings client;
  enqueue_settings enqueue;
  list_settings list; ///< jobs list, jobs counts, nodes list; the filters of export
  export_settings exported;
  bulk_settings bulk;
  edit_settings edit;
  log_settings log;
  create_token token;               ///< tokens create: what is asked for, without a secret
  std::vector<std::string> ids;     ///< of jobs or a token, or names of queues, or the one node's
  std::string patch;                ///< queues limit, retention set: the request's body
  bool yes = false;                 ///< retention: also what makes an age shorter
  bool create_queue = false;        ///< queues pause and the like: when there is none
  std::optional<double> wait_limit; ///< of a drain, jobs watch: seconds; none: for ever
  scrape_settings scrape;
  bench_settings bench;
  top_settings top;
  std::vector<setting> settings; ///< dev, serve, config show
  bool show_origin = false;      ///< config show
  bool ready = false;            ///< health: should traffic come, in place of: is it alive
  std::string shell;             ///< completion
};

/// Nothing to run: help was asked for, or something is wrong.
struct refusal {
  exit_code code = exit_code::usage;
  std::string text; ///< to standard output when the code is ok, else to standard error
};

/// `arguments` without the program's name.
std::variant<invocation, refusal> parse(std::vector<std::string> arguments);

/// All that parse understands.
command_entry describe_commands();

} // namespace troupe::cli
