// What holds a job, as a sentence for people. Pure; throws command_error when the answer is not
// what a Troupe server gives.
#pragma once

#include <string>
#include <string_view>

namespace troupe::cli {

/// One line. Of a reason that is newer than this program, the word.
std::string why_sentence(std::string_view answer);

} // namespace troupe::cli
