// The commands of a node, and what is checked of all; see command_line.hpp.
#include "cli/options.hpp"

#include "cli/bulk_options.hpp"
#include "cli/choice.hpp"
#include "cli/command_line.hpp"
#include "cli/completion.hpp"
#include "cli/early_options.hpp"
#include "cli/enqueue_options.hpp"
#include "cli/filter_options.hpp"
#include "cli/settings.hpp"
#include "launcher/log.hpp"
#include "messages/version.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <utility>

namespace troupe::cli {

namespace {

/// The end of every help.
std::string exit_codes_text() {
  std::string text = "Exit codes:";
  for (const auto& [code, meaning] : exit_meanings) {
    auto number = std::to_string(static_cast<int>(code));
    number.resize(4, ' ');
    text += "\n  " + number + meaning;
  }
  return text;
}

} // namespace

command_line::command_line() {
  app_.set_version_flag("--version", std::string{"troupe "} + version);
  app_.require_subcommand(1);
  app_.footer(exit_codes_text());
  auto* dev = add(app_, command::dev, "dev",
                  "Run a node for trying things: test kinds on, and a private PostgreSQL unless "
                  "DATABASE_URL names a database");
  add_engine(dev);
  add_node(dev);
  auto* serve = add(app_, command::serve, "serve", "Run a node on the database of DATABASE_URL");
  add_engine(serve);
  add_node(serve);
  auto* migrate = add(app_, command::migrate, "migrate",
                      "Bring the database of DATABASE_URL to this program's schema");
  add_database(migrate);
  add_json(migrate);
  auto* doctor = add(app_, command::doctor, "doctor",
                     "Look the database over and say what to do; exit 1 when something fails");
  add_database(doctor);
  add_pool(doctor);
  env(doctor,
      doctor
          ->add_option("--data-dir", out_.engine.data_dir,
                       "Without a database: whose private PostgreSQL to look at")
          ->type_name("DIR"),
      "TROUPE_DATA_DIR");
  add_json(doctor);
  add_enqueue();
  add_jobs();
  add_export();
  add_exports();
  add_queues();
  add_scrape();
  add_tokens();
  add_top();
  add_server();
  add_bench();
  add_config();
  add(app_, command::completion, "completion", "Print what completes commands in a shell")
      ->add_option("shell", out_.shell, "The shell it is for")
      ->required()
      ->check(one_of(shells));
  add(app_, command::man, "man", "Print the manual page: troupe man | man -l -");
  add_json(add(app_, command::version, "version", "Print the version of this program"));
}

CLI::App* command_line::add(CLI::App& parent, command what, const char* name,
                            const char* description) {
  auto* app = parent.add_subcommand(name, description);
  commands_[app] = what;
  add_manner(app);
  app->preparse_callback([this, app](std::size_t) { sources_.use_variables(app); });
  return app;
}

void command_line::add_manner(CLI::App* app) {
  auto* quiet = app->add_flag("-q,--quiet", out_.talk.quiet, "Say only what went wrong");
  auto* verbose = app->add_flag("-v,--verbose", out_.talk.verbose,
                                "Say more: each request; of an engine what debugging needs");
  auto* plain = app->add_flag("--plain", out_.talk.plain,
                              "As where there is no terminal: nothing is drawn over or cut");
  auto* no_colour = app->add_flag("--no-color", out_.talk.no_colour,
                                  "No reversed or coloured text; likewise by NO_COLOR");
  for (auto* option : {quiet, verbose, plain, no_colour})
    option->group(group_of_all);
  quiet->excludes(verbose);
}

CLI::Option* command_line::env(CLI::App* app, CLI::Option* option, const std::string& name,
                               std::string key) {
  if (key.empty()) {
    key = option->get_lnames().front();
    std::replace(key.begin(), key.end(), '-', '_');
  }
  return sources_.bind(app, option, name, std::move(key));
}

CLI::Option* command_line::list(CLI::Option* option) {
  return option->expected(1)->take_all()->allow_extra_args(false);
}

void command_line::add_json(CLI::App* app) {
  app->add_flag("--json", out_.json, "Print JSON");
}

void command_line::add_duration(CLI::App* app, const std::string& flag,
                                std::chrono::milliseconds& value, const std::string& description,
                                const std::string& name, const std::string& key) {
  const auto read = [&value, flag](const std::string& text) {
    try {
      value = read_duration(text);
    } catch (const std::invalid_argument& e) {
      throw CLI::ValidationError(flag, e.what());
    }
  };
  env(app,
      app->add_option_function<std::string>(flag, read, description)
          ->type_name("TIME")
          ->default_str(std::to_string(value.count() / 1000) + "s"),
      name, key);
}

void command_line::add_database(CLI::App* app) {
  auto& database = out_.engine.database;
  sources_.bind(app,
                app->add_option("--config", config_,
                                "A file of options: troupe.toml; flags and "
                                "variables win over it")
                    ->type_name("FILE"),
                "TROUPE_CONFIG", "");
  env(app,
      app->add_option("--database", out_.engine.database_url,
                      "The database's URL; others see flags, so keep the password in a file"),
      "DATABASE_URL", "database.url");
  env(app,
      app->add_option("--password-file", database.password_file,
                      "A file with nothing but the database password")
          ->type_name("FILE"),
      "TROUPE_PASSWORD_FILE", "database.password_file");
  env(app,
      app->add_flag("--pooler", database.pooler,
                    "The database is behind PgBouncer in transaction mode"),
      "TROUPE_POOLER", "database.pooler");
}

void command_line::add_pool(CLI::App* app) {
  auto& database = out_.engine.database;
  env(app,
      app->add_option("--max-connections,--connections", database.max_connections,
                      "Database connections at most")
          ->capture_default_str(),
      "TROUPE_MAX_CONNECTIONS", "database.max_connections");
  env(app,
      app->add_option("--min-connections", database.min_connections,
                      "Database connections kept when idle; 0: half of the most, at least two")
          ->capture_default_str(),
      "TROUPE_MIN_CONNECTIONS", "database.min_connections");
  env(app,
      app->add_option("--max-waiting", database.max_waiting,
                      "Callers that may wait for a connection")
          ->capture_default_str(),
      "TROUPE_MAX_WAITING", "database.max_waiting");
  add_duration(app, "--acquire-timeout", database.acquire_timeout,
               "How long one may wait for a connection", "TROUPE_ACQUIRE_TIMEOUT",
               "database.acquire_timeout");
  add_duration(app, "--statement-timeout", database.statement_timeout,
               "How long a statement without a limit of its own may take",
               "TROUPE_STATEMENT_TIMEOUT", "database.statement_timeout");
  add_duration(app, "--idle-limit", database.idle_limit,
               "After which a connection too many is closed", "TROUPE_IDLE_LIMIT",
               "database.idle_limit");
  add_duration(app, "--max-lifetime", database.max_lifetime, "After which a connection is replaced",
               "TROUPE_MAX_LIFETIME", "database.max_lifetime");
}

void command_line::add_engine(CLI::App* app) {
  add_embedded(app);
  env(app,
      app->add_flag("--allow-private", out_.engine.allow_private,
                    "Let crawls reach loopback and private addresses"),
      "TROUPE_ALLOW_PRIVATE");
  env(app,
      app->add_option("--concurrency", out_.engine.fetches, "Pages fetched at the same time")
          ->check(CLI::Range(1, 1000))
          ->capture_default_str(),
      "TROUPE_CONCURRENCY");
}

void command_line::add_embedded(CLI::App* app) {
  auto& engine = out_.engine;
  add_database(app);
  add_pool(app);
  env(app,
      app->add_option("--data-dir", engine.data_dir,
                      "Where the private PostgreSQL and exports live")
          ->type_name("DIR"),
      "TROUPE_DATA_DIR");
  env(app,
      app->add_option("--workers", engine.worker_threads,
                      "Threads for parsing and blocking handlers; 0: one per core")
          ->check(CLI::Range(0, 1024))
          ->capture_default_str(),
      "TROUPE_WORKERS");
  env(app,
      app->add_option("--log-level", log_level_, "Lines of this weight and above")
          ->check(one_of({"debug", "info", "warn", "error", "off"}))
          ->default_str("info"),
      "TROUPE_LOG");
  env(app,
      app->add_option("--log-format", log_format_, "auto is text on a terminal and json elsewhere")
          ->check(one_of({"auto", "text", "json"}))
          ->default_str("auto"),
      "TROUPE_LOG_FORMAT");
}

void command_line::add_node(CLI::App* app) {
  auto& engine = out_.engine;
  add_listen(app);
  add_spans(app);
  add_required_tokens(app);
  env(app, app->add_option("--node", engine.node, "This node's name")->capture_default_str(),
      "TROUPE_NODE");
  env(app,
      app->add_option("--slots", engine.slots, "Jobs run at the same time, per queue")
          ->check(CLI::Range(0, 10'000))
          ->capture_default_str(),
      "TROUPE_SLOTS");
  env(app,
      app->add_option("--prefetch", engine.prefetch,
                      "Short jobs claimed ahead of the slots at most, per queue")
          ->check(CLI::Range(0, 4'000))
          ->capture_default_str(),
      "TROUPE_PREFETCH");
  env(app,
      list(app->add_option("--queue", queues_,
                           "NAME:SLOTS, slots of one queue; 0 leaves it to other nodes "
                           "(repeatable)")),
      "", "queue");
  env(app,
      app->add_option("--grace", grace_, "Seconds that running jobs get to finish at shutdown")
          ->check(number_in(0.0, 86'400.0))
          ->capture_default_str(),
      "TROUPE_GRACE");
  env(app,
      app->add_option("--stuck-after", stuck_after_,
                      "Seconds after which the slot of a job that was asked to stop, and goes on, "
                      "is given to another")
          ->check(number_in(0.1, 86'400.0))
          ->capture_default_str(),
      "TROUPE_STUCK_AFTER");
  env(app,
      app->add_flag("--test-kinds", engine.test_kinds,
                    "Add the kinds for trying: noop, echo, sleep, fail, effect, trouble"),
      "TROUPE_TEST_KINDS");
}

void command_line::add_config() {
  auto* config = app_.add_subcommand("config", "Look at the settings of a node");
  config->require_subcommand(1);
  auto* show = add(*config, command::config_show, "show",
                   "Print what a node would use, given these flags, variables and file");
  add_engine(show);
  add_node(show);
  show->add_flag("--origin", out_.show_origin, "Also say where each setting comes from");
  add_json(show);
}

CLI::App* command_line::chosen() {
  auto* app = &app_;
  while (!app->get_subcommands().empty())
    app = app->get_subcommands().front();
  return app;
}

void command_line::finish_engine() {
  auto& engine = out_.engine;
  if (!engine.data_dir.empty())
    engine.data_dir = std::filesystem::absolute(engine.data_dir).lexically_normal().string();
  if (log_level_.empty() && (out_.talk.quiet || out_.talk.verbose))
    log_level_ = out_.talk.quiet ? "error" : "debug";
  if (!log_level_.empty())
    out_.log_level = log::parse_level(log_level_);
  if (log_format_ == "text" || log_format_ == "json")
    out_.log_format = log_format_ == "text" ? log::format::text : log::format::json;
}

void command_line::finish_node() {
  auto& engine = out_.engine;
  finish_engine();
  finish_listen();
  finish_spans();
  if (!is_valid_name(engine.node))
    throw std::invalid_argument("--node: a name is 1 to 128 of A-Z a-z 0-9 . _ : -");
  for (const auto& queue : queues_)
    engine.queues.insert_or_assign(read_queue_slots(queue).first, read_queue_slots(queue).second);
  engine.grace = std::chrono::milliseconds{static_cast<std::int64_t>(grace_ * 1000)};
  engine.stuck_after = std::chrono::milliseconds{static_cast<std::int64_t>(stuck_after_ * 1000)};
  if (out_.what == command::dev)
    engine.test_kinds = true;
  if (out_.what == command::serve && engine.database_url.empty())
    throw std::invalid_argument(
        "serve needs a database: set DATABASE_URL or database.url, for example "
        "postgresql://troupe@db.example/troupe, or use 'troupe dev', which brings its own");
  out_.settings = sources_.settings_of(chosen());
}

namespace {

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

/// Of an export's file.
std::string format_named(std::string_view file) {
  if (file.ends_with(".gz"))
    file.remove_suffix(3);
  return file.ends_with(".csv") ? "csv" : file.ends_with(".json") ? "json" : "ndjson";
}

} // namespace

void command_line::finish_export() {
  if (out_.exported.format.empty())
    out_.exported.format = format_named(out_.exported.out);
  check_filter(out_.list);
}

void command_line::finish() {
  out_.talk.no_colour |= is_set("NO_COLOR");
  finish_client();
  switch (out_.what) {
  case command::dev:
  case command::serve:
  case command::config_show:
    return finish_node();
  case command::doctor:
    return finish_engine();
  case command::migrate:
    finish_engine();
    if (out_.engine.database_url.empty())
      throw std::invalid_argument("migrate needs a database: set DATABASE_URL; 'troupe dev' "
                                  "migrates its own by itself");
    return;
  case command::scrape:
    return finish_scrape();
  case command::bench_drain:
  case command::bench_enqueue:
  case command::bench_latency:
    return finish_bench();
  case command::jobs_get:
  case command::jobs_logs:
  case command::jobs_why:
  case command::jobs_watch:
  case command::jobs_cancel:
  case command::jobs_retry:
  case command::jobs_delete:
  case command::tokens_revoke:
  case command::exports_get:
  case command::exports_delete:
    for (const auto& id : out_.ids)
      read_job_id(id);
    return;
  case command::tokens_create:
    return finish_new_token();
  case command::jobs_edit:
    read_job_id(out_.ids.front());
    return check_edit(out_.edit);
  case command::jobs_bulk:
    return check_bulk(out_.bulk);
  case command::queues_limit:
    return finish_queue_limit();
  case command::retention_set:
    return finish_retention_set();
  case command::retention_reset:
  case command::queues_list:
  case command::queues_show:
  case command::queues_pause:
  case command::queues_resume:
  case command::queues_drain:
    return check_names(out_.ids);
  case command::top:
    return out_.top.queue.empty() ? void() : check_names({out_.top.queue});
  case command::export_jobs:
    return finish_export();
  case command::jobs_list:
    return check_filter(out_.list);
  case command::jobs_counts:
  case command::exports_list:
    if (out_.list.queue)
      check_names({*out_.list.queue});
    return;
  case command::enqueue:
    return check_enqueue(out_.enqueue);
  default: // has nothing that the parser did not look at
    return;
  }
}

std::variant<invocation, refusal> command_line::parse(std::vector<std::string> arguments) {
  if (!arguments.empty() && arguments.front() == "help") {
    // As other programs have it: help jobs list is jobs list --help.
    arguments.erase(arguments.begin());
    arguments.emplace_back("--help");
  }
  arguments = options_behind_command(app_, std::move(arguments));
  try {
    // CLI11 takes the arguments from the back.
    app_.parse(std::vector<std::string>{arguments.rbegin(), arguments.rend()});
    out_.what = commands_.at(chosen());
    if (!config_.empty())
      sources_.use_file(chosen(), config_);
    finish();
  } catch (const CLI::ParseError& error) {
    return explain(error, arguments);
  } catch (const std::invalid_argument& error) {
    return wrong(error.what());
  }
  return std::move(out_);
}

std::variant<invocation, refusal> parse(std::vector<std::string> arguments) {
  return command_line{}.parse(std::move(arguments));
}

command_entry describe_commands() {
  return command_line{}.describe();
}

} // namespace troupe::cli
