#include "http/fields.hpp"

#include "http/route_answers.hpp"
#include "http/router.hpp"

#include <algorithm>
#include <string>

namespace troupe::http {

namespace {

constexpr std::size_t reported_errors = 20;

std::string list_of(std::span<const std::string_view> names) {
  std::string out;
  for (const auto name : names)
    out.append(out.empty() ? "" : ", ").append(name);
  return out;
}

} // namespace

std::variant<chosen_fields, response> read_fields(std::string_view value,
                                                  std::span<const std::string_view> known) {
  auto out = chosen_fields::none();
  std::vector<field_error> errors;
  for (std::size_t i = 0;; ++i) {
    const auto end = value.find(',');
    const auto name = value.substr(0, end);
    const auto found = std::find(known.begin(), known.end(), name);
    if (found != known.end())
      out.add(static_cast<std::size_t>(found - known.begin()));
    else if (errors.size() < reported_errors)
      errors.push_back(
          {"/fields/" + std::to_string(i),
           "no such field: " + std::string{name.substr(0, 64)} + "; there are " + list_of(known)});
    if (end == std::string_view::npos)
      break;
    value.remove_prefix(end + 1);
  }
  if (errors.empty())
    return out;
  return problem_response(invalid_fields(std::move(errors)));
}

std::variant<chosen_fields, response> read_fields_only(std::string_view what,
                                                       std::string_view query,
                                                       std::span<const std::string_view> known) {
  const auto parameters = parse_query(query);
  if (!parameters)
    return malformed_query();
  if (parameters->empty())
    return chosen_fields{};
  const auto& [name, value] = parameters->front();
  if (name == "fields" && parameters->size() == 1)
    return read_fields(value, known);
  return wrong_parameter((name == "fields" ? parameters->back().name : name).substr(0, 64),
                         "there is none of this name; a " + std::string{what} + " takes fields");
}

} // namespace troupe::http
