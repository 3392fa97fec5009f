// A drain of a queue or a node: asks again until nothing of it runs. That it is interrupted changes
// nothing: the drain goes on.
#pragma once

#include "cli/http_client.hpp"
#include "cli/options.hpp"

#include <string>

namespace troupe::cli {

struct drained_words {
  const char* what;  ///< "queue"
  const char* state; ///< "paused"
};

/// `shown`: what is at `path` now. What is there when its `running` is 0. Throws command_error
/// (timed_out) after the time that was given.
std::string wait_until_idle(http_client& server, const std::string& path, std::string shown,
                            drained_words words, const invocation& wanted);

} // namespace troupe::cli
