#include "http/preconditions.hpp"

#include <algorithm>

namespace troupe::http {

namespace {

std::string_view without_space(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t");
  return begin == std::string_view::npos ? std::string_view{} : text.substr(begin);
}

/// Of a list the next tag; false where there is none.
bool take_tag(std::string_view& from, tag_list& into) {
  entity_tag tag;
  tag.weak = from.starts_with("W/");
  if (tag.weak)
    from.remove_prefix(2);
  const auto end = from.starts_with('"') ? from.find('"', 1) : std::string_view::npos;
  if (end == std::string_view::npos)
    return false;
  tag.text = from.substr(1, end - 1);
  if (tag.text.find_first_of(" \t") != std::string::npos)
    return false;
  from = without_space(from.substr(end + 1));
  into.tags.push_back(std::move(tag));
  return from.empty() || from.front() == ',';
}

bool take_list(std::string_view text, tag_list& into) {
  for (text = without_space(text); !text.empty(); text = without_space(text)) {
    if (text.front() == ',')
      text.remove_prefix(1);
    else if (!take_tag(text, into))
      return false;
  }
  return true;
}

} // namespace

bool tag_list::names(std::string_view text) const {
  return any || std::any_of(tags.begin(), tags.end(), [&](const entity_tag& tag) {
           return tag.text == text;
         });
}

std::variant<std::optional<tag_list>, response> read_tags(const request_view& request,
                                                          std::string_view name) {
  std::optional<tag_list> out;
  if (request.head == nullptr)
    return out;
  for (const auto& field : request.head->fields) {
    if (!iequals(field.name, name))
      continue;
    if (!out)
      out.emplace();
    const bool is_list = field.value == "*" ? (out->any = true) : take_list(field.value, *out);
    if (!is_list || out->any != out->tags.empty()) {
      auto fault = invalid_fields({});
      fault.detail = "header " + std::string{name} + ": must be * or a list of entity tags";
      return problem_response(std::move(fault));
    }
  }
  return out;
}

} // namespace troupe::http
