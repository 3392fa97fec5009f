// completion and man: what shells and readers of manuals get, made from the commands themselves.
#include "cli/commands.hpp"
#include "cli/completion.hpp"
#include "cli/man_page.hpp"
#include "messages/version.hpp"

namespace troupe::cli {

exit_code run_completion(const invocation& wanted) {
  print(completion_script(wanted.shell, describe_commands()));
  return exit_code::ok;
}

exit_code run_man(const invocation&) {
  print(man_page(describe_commands(), version));
  return exit_code::ok;
}

} // namespace troupe::cli
