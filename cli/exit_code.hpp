// How the program ends, as scripts see it. The numbers are fixed; docs and tests name them.
#pragma once

#include "messages/errc.hpp"

#include <stdexcept>
#include <string>

namespace troupe::cli {

enum class exit_code : int {
  ok = 0,
  failed = 1,
  usage = 2, ///< wrong flags, or input the server calls wrong
  not_found = 3,
  conflict = 4,
  unauthorised = 5,
  unavailable = 6, ///< no server, or one that cannot answer now
  timed_out = 7,
  job_failed = 8,    ///< --wait, and the job did not complete
  interrupted = 130, ///< as a shell says of Ctrl-C
};

exit_code exit_code_of(errc code);
/// Of an HTTP answer; ok below 400.
exit_code exit_code_of_status(long status);

/// Ends the command: the sentence goes to standard error.
class command_error : public std::runtime_error {
public:
  command_error(exit_code code, const std::string& what) : std::runtime_error(what), code_(code) {}
  exit_code code() const { return code_; }

private:
  exit_code code_;
};

} // namespace troupe::cli
