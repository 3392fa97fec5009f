#include "cli/answer.hpp"

#include "cli/exit_code.hpp"

namespace troupe::cli {

json read_object(std::string_view text) {
  auto value = json::parse(text.begin(), text.end(), nullptr, false);
  if (!value.is_object())
    throw command_error(exit_code::failed, "the server's answer is not one of Troupe's: "
                                               + std::string{text.substr(0, 200)});
  return value;
}

std::string field(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null())
    return {};
  return found->is_string() ? found->get<std::string>() : found->dump();
}

} // namespace troupe::cli
