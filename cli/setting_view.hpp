// The settings of a node with where each comes from, for people and programs. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::cli {

enum class setting_origin : std::uint8_t { standard, file, variable, flag };
enum class setting_form : std::uint8_t { text, number, yes_no, list };

struct setting {
  std::string name; ///< its key in the configuration file, or the flag with underscores
  setting_form form = setting_form::text;
  std::vector<std::string> values; ///< one, unless it is a list; an empty text: not set
  setting_origin origin = setting_origin::standard;
  std::string from; ///< the flag, the variable, or "FILE, line N"
};

/// "default", "file", "variable", "flag".
std::string_view name_of(setting_origin origin);

/// True when a setting of this name is never to be shown: passwords, tokens. Not what names a file.
bool is_secret(std::string_view name);

std::string settings_text(const std::vector<setting>& settings, bool with_origin);
/// {"settings": [{"name", "value", "origin", "from"}]}; the last two with_origin only.
std::string settings_json(const std::vector<setting>& settings, bool with_origin);

} // namespace troupe::cli
