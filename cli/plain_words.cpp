#include "cli/plain_words.hpp"

#include <CLI/CLI.hpp>

#include <optional>
#include <string_view>
#include <utility>

namespace troupe::cli {

namespace {

constexpr std::string_view not_converted = "Could not convert: ";

/// What is before and behind the mark.
std::optional<std::pair<std::string, std::string>> cut(const std::string& text,
                                                       std::string_view mark) {
  const auto at = text.find(mark);
  if (at == std::string::npos)
    return std::nullopt;
  return std::pair{text.substr(0, at), text.substr(at + mark.size())};
}

/// "--priority = x": an option and its value.
std::string wrong_value(const CLI::App& command, const std::string& name,
                        const std::string& value) {
  const auto* option = command.get_option_no_throw(name);
  const auto type = option != nullptr ? option->get_type_name() : std::string{};
  const auto what = option != nullptr && option->get_items_expected_max() == 0
                        ? "is neither true nor false"
                    : type.starts_with("FLOAT") ? "is no number"
                    : type.starts_with("INT") || type.starts_with("UINT")
                        ? "is no whole number, or too large a one"
                        : "is not what it takes";
  return name + ": '" + value + "' " + what;
}

} // namespace

std::string plain_words(const CLI::App& command, const std::string& sentence) {
  if (sentence.starts_with(not_converted))
    if (const auto parts = cut(sentence.substr(not_converted.size()), " = "))
      return wrong_value(command, parts->first, parts->second);
  // "--args: 1 required TEXT missing"
  if (const auto parts = cut(sentence, " required "); parts && parts->second.ends_with(" missing"))
    return parts->first.substr(0, parts->first.find(':')) + " needs a value";
  // "id: At Most 1 required but received 2"
  if (const auto parts = cut(sentence, " required but received ")) {
    if (const auto most = cut(parts->first, ": At Most "))
      return most->first + ": at most " + most->second + " may be given, and there are "
             + parts->second;
    if (const auto least = cut(parts->first, ": At least "))
      return least->first + ": at least " + least->second + " must be given, and there are "
             + parts->second;
  }
  if (const auto parts = cut(sentence, " excludes "))
    return parts->first + " and " + parts->second + " do not go together";
  if (const auto parts = cut(sentence, " requires "))
    return parts->first + " goes with " + parts->second;
  return sentence;
}

} // namespace troupe::cli
