// The parser behind options.hpp: every command with its options, bound to one invocation. CLI11
// does the parsing. options.cpp has the commands of a node, client_options.cpp those that talk
// HTTP, token_options.cpp what is said about tokens, listen_options.cpp where a node listens,
// scrape_options.cpp and bench_options.cpp those of scrape and bench.
#pragma once

#include "cli/option_sources.hpp"
#include "cli/options.hpp"
#include "cli/settings.hpp"

#include <CLI/CLI.hpp>

#include <map>
#include <string>
#include <variant>
#include <vector>

namespace troupe::cli {

inline constexpr double longest_seconds = 10.0 * 365 * 86'400;

/// Throws std::invalid_argument unless each is a name that a queue may have.
void check_names(const std::vector<std::string>& queues);

/// All commands and their options, bound to one invocation.
class command_line {
public:
  command_line();
  std::variant<invocation, refusal> parse(std::vector<std::string> arguments);
  command_entry describe() const { return read_commands(app_, sources_); }

private:
  CLI::App* add(CLI::App& parent, command what, const char* name, const char* description);
  /// Gives the option a variable, and a key in the configuration file: the flag's name, if none is
  /// given.
  CLI::Option* env(CLI::App* app, CLI::Option* option, const std::string& name,
                   std::string key = {});
  void add_duration(CLI::App* app, const std::string& flag, std::chrono::milliseconds& value,
                    const std::string& description, const std::string& name,
                    const std::string& key);
  CLI::Option* list(CLI::Option* option);
  void add_json(CLI::App* app);
  /// What every command takes.
  void add_manner(CLI::App* app);
  void add_database(CLI::App* app);
  void add_pool(CLI::App* app);
  void add_engine(CLI::App* app);
  /// Of any engine in this process: its database, its directory, its threads, its log.
  void add_embedded(CLI::App* app);
  void add_node(CLI::App* app);
  void add_client(CLI::App* app);
  void add_enqueue();
  void add_jobs();
  void add_export();
  void add_queues();
  void add_nodes();
  void add_top();
  void add_exports();
  void add_server();
  void add_retention();
  void add_tokens();
  void add_token_file(CLI::App* app);
  void add_required_tokens(CLI::App* app);
  void add_listen(CLI::App* app);
  void add_spans(CLI::App* app);
  void add_scrape();
  void add_bench();
  void add_config();

  void finish();
  void finish_engine();
  void finish_node();
  void finish_scrape();
  void finish_bench();
  void finish_queue_limit();
  void finish_retention_set();
  void finish_export();
  void finish_client();
  void finish_new_token();
  void finish_listen();
  void finish_spans();
  void check_listen(const endpoint& where) const;
  refusal explain(const CLI::ParseError& error, const std::vector<std::string>& arguments);
  refusal wrong(std::string sentence);
  std::string unknown_word(const CLI::App& app, const std::string& word) const;
  CLI::App* chosen();

  CLI::App app_{"Job orchestration on actors and PostgreSQL.", "troupe"};
  invocation out_;
  std::map<const CLI::App*, command> commands_;
  option_sources sources_;

  std::string config_;
  std::string listen_ = "127.0.0.1:8080";
  bool insecure_listen_ = false;
  bool plain_http_ = false;
  std::string socket_mode_ = "0600";
  std::string token_file_;
  std::string token_role_;
  std::string token_life_;
  std::vector<std::string> allowed_hosts_;
  std::vector<std::string> queues_;
  std::string log_level_;
  std::string log_format_;
  std::string otlp_headers_;
  double grace_ = 15;
  double stuck_after_ = 60;
  std::vector<std::string> selectors_;
  std::string enqueued_by_ = "engine";
  std::string concurrency_;
  std::string rate_;
  int burst_ = 0;
  std::string key_concurrency_;
  std::string max_waiting_;
  std::string key_rate_;
  std::string ordered_;
  int key_burst_ = 0;
  std::string completed_age_;
  std::string cancelled_age_;
  std::string discarded_age_;
};

} // namespace troupe::cli
