// config show: the settings that a node with these flags, variables and file would have. A node has
// them, too, for whoever asks it.
#include "cli/commands.hpp"
#include "launcher/database_options.hpp"
#include "launcher/postgres_directory.hpp"

namespace troupe::cli {

std::vector<setting> settings_in_use(const invocation& wanted) {
  auto settings = wanted.settings;
  for (auto& each : settings) {
    if (each.name == "database.url" && !each.values.empty() && !each.values.front().empty())
      each.values = {without_secrets(each.values.front())};
    if (each.name == "data_dir")
      each.values = {wanted.engine.data_dir.empty() ? default_data_dir() : wanted.engine.data_dir};
    if (each.name == "test_kinds") // dev has them whatever is said
      each.values = {wanted.engine.test_kinds ? "true" : "false"};
  }
  return settings;
}

exit_code run_config_show(const invocation& wanted) {
  check_database_options(wanted.engine);
  const auto settings = settings_in_use(wanted);
  print(wanted.json ? settings_json(settings, wanted.show_origin) + "\n"
                    : settings_text(settings, wanted.show_origin));
  return exit_code::ok;
}

} // namespace troupe::cli
