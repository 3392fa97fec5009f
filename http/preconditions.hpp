// If-Match and If-None-Match (RFC 9110, 13.1).
#pragma once

#include "http/message.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace troupe::http {

struct entity_tag {
  std::string text; ///< between the quotes
  bool weak = false;
};

struct tag_list {
  bool any = false; ///< `*`
  std::vector<entity_tag> tags;

  /// As If-None-Match compares: a weak tag is as good.
  bool names(std::string_view text) const;
};

/// All fields of that name as one list, or nothing when there is none; a 400 for what is no list of
/// tags.
std::variant<std::optional<tag_list>, response> read_tags(const request_view& request,
                                                          std::string_view name);

} // namespace troupe::http
