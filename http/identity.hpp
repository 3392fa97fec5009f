// Who asks, as the token says that was shown, and of which queues it may speak.
#pragma once

#include "messages/asker.hpp"
#include "messages/role.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::http {

struct token_identity {
  std::int64_t id = 0;
  std::string name;
  role may = role::viewer;
  std::vector<std::string> queues; ///< empty: all
};
/// Null: nobody is asked for a token, and may do anything.
using identity_ptr = std::shared_ptr<const token_identity>;

inline bool is_scoped(const token_identity* who) {
  return who != nullptr && !who->queues.empty();
}

inline bool covers(const token_identity* who, std::string_view queue) {
  return !is_scoped(who)
         || std::find(who->queues.begin(), who->queues.end(), queue) != who->queues.end();
}

} // namespace troupe::http
