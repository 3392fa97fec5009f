// dev, serve, migrate and version: the commands about this node and this program.
#include "cli/commands.hpp"
#include "cli/commit.hpp"
#include "cli/signals.hpp"
#include "cli/text.hpp"
#include "launcher/engine.hpp"
#include "launcher/log.hpp"
#include "launcher/migrate.hpp"
#include "launcher/postgres_binaries.hpp"
#include "launcher/postgres_directory.hpp"
#include "launcher/token_admin.hpp"
#include "messages/version.hpp"

#include <nlohmann/json.hpp>

#include <cstring>
#include <filesystem>
#include <optional>

namespace troupe::cli {

exit_code run_node(const invocation& wanted) {
  signal_watch signals; // before the engine's threads, which inherit the mask
  log::install({wanted.log_level, wanted.log_format});
  auto options = wanted.engine;
  options.progress = [](std::string_view line) { tell(std::string{line}); };
  options.commit = commit();
  options.configuration = settings_json(settings_in_use(wanted), true);
  const bool own_database = options.database_url.empty();
  engine node(std::move(options));
  node.start();
  std::optional<hangup_meaning> hangup;
  if (!wanted.engine.tls_certificate.empty())
    hangup.emplace(signals, [&node] { node.reload_certificate(); });
  const auto home = wanted.engine.data_dir.empty() ? default_data_dir() : wanted.engine.data_dir;
  const auto token_file = std::filesystem::path{home} / "token";
  const bool keeps_token = wanted.what == command::dev && wanted.engine.require_tokens;
  if (keeps_token)
    keep_token_file(node, token_file);
  if (signals.signal() == 0) {
    std::string ready = "troupe ready";
    for (const auto& url : node.urls())
      ready += " " + url;
    print(ready + "\n");
    if (wanted.what == command::dev)
      tell(std::string{"a node for development, "}
           + (own_database ? "with a private PostgreSQL" : "on the database of DATABASE_URL")
           + (keeps_token ? "; an admin's token is in " + token_file.string()
                          : std::string{"; nobody is asked for a token"})
           + "; Ctrl-C ends it");
    signals.wait();
  }
  log::info("main", std::string{"draining after SIG"} + sigabbrev_np(signals.signal())
                        + "; a second signal ends at once");
  node.stop();
  return exit_code::ok;
}

exit_code run_migrate(const invocation& wanted) {
  log::install({wanted.log_level, wanted.log_format});
  const auto done = migrate_database(wanted.engine);
  if (wanted.json) {
    const nlohmann::json out{{"from", done.from}, {"to", done.to}, {"applied", done.applied}};
    print(out.dump() + "\n");
    return exit_code::ok;
  }
  std::string text;
  for (const auto& name : done.applied)
    text += "applied " + printable(name) + "\n";
  print(text + "the database is at version " + std::to_string(done.to)
        + (done.applied.empty() ? "; nothing was to be done\n"
                                : ", before at " + std::to_string(done.from) + "\n"));
  return exit_code::ok;
}

exit_code run_version(const invocation& wanted) {
  const std::string compiler = std::string{"g++ "} + __VERSION__;
  std::string server = "none found";
  try {
    const auto found = find_postgres(postgres_search::of_environment());
    server = std::to_string(found.major) + " in " + found.directory.string();
  } catch (const postgres_error&) {
    // `dev` says what to install; here it is one fact among others.
  }
  if (wanted.json) {
    nlohmann::json out{{"version", version},          {"commit", nullptr},
                       {"compiler", compiler},        {"libpq", libpq_version()},
                       {"postgresql_server", server}, {"schema", carried_schema_version()}};
    if (!commit().empty())
      out["commit"] = commit();
    print(out.dump() + "\n");
    return exit_code::ok;
  }
  print(std::string{"troupe "} + version + "\ncommit             "
        + std::string{commit().empty() ? "unknown" : commit()} + "\ncompiler           " + compiler
        + "\nlibpq              " + libpq_version() + "\nPostgreSQL server  " + printable(server)
        + "\nschema             " + std::to_string(carried_schema_version()) + "\n");
  return exit_code::ok;
}

} // namespace troupe::cli
