// How the program ends, as scripts see it. The numbers are fixed; docs and tests name them.
#pragma once

#include "messages/errc.hpp"

#include <array>
#include <stdexcept>
#include <string>
#include <utility>

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

/// Every code with what it says, as help and the manual page print them.
inline constexpr std::array<std::pair<exit_code, const char*>, 10> exit_meanings{{
    {exit_code::ok, "it is done"},
    {exit_code::failed, "it failed; standard error says why"},
    {exit_code::usage, "wrong flags or settings, or input that the server calls wrong"},
    {exit_code::not_found, "there is no such job, queue or page"},
    {exit_code::conflict, "its state does not allow that, or another job has the unique key"},
    {exit_code::unauthorised, "no token, or one that may not do this"},
    {exit_code::unavailable, "no server or database answers, or it is overloaded: try again"},
    {exit_code::timed_out, "not within the time that --timeout or --request-timeout gave"},
    {exit_code::job_failed, "the job that was waited for did not complete"},
    {exit_code::interrupted, "ended by Ctrl-C"},
}};

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
