// Child processes: what they get (environment, descriptors, session, signals) and what comes back.
#include "launcher/os_process.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

run_report shell(const std::string& script, std::chrono::milliseconds limit = 60s) {
  return run({"/bin/sh", {"-c", script}, {"ONLY=this"}, true}, current_user(), limit);
}

} // namespace

BOOST_AUTO_TEST_CASE(output_and_status_come_back) {
  const auto report = shell("echo out; echo err >&2; exit 3");
  BOOST_TEST(report.output == "out\nerr\n");
  BOOST_TEST(!report.succeeded());
  BOOST_TEST(describe_status(report.status) == "exit status 3");
  BOOST_TEST(describe_status(shell("kill -9 $$").status) == "killed by signal 9");
  BOOST_TEST(shell("true").succeeded());
}

BOOST_AUTO_TEST_CASE(the_child_sees_only_the_environment_it_was_given) {
  setenv("PGPORT", "1", 1);
  const auto report = run({"/usr/bin/env", {}, {"ONLY=this"}, true}, current_user(), 60s);
  unsetenv("PGPORT");
  BOOST_TEST(report.output == "ONLY=this\n");
}

BOOST_AUTO_TEST_CASE(the_child_inherits_no_descriptor_and_ignores_no_signal) {
  const unique_fd leak(open("/dev/null", O_RDONLY)); // without close-on-exec
  signal(SIGPIPE, SIG_IGN);
  const auto descriptors = run({"/bin/ls", {"/proc/self/fd"}, {}, true}, current_user(), 60s);
  const auto signals =
      run({"/bin/grep", {"SigIgn", "/proc/self/status"}, {}, true}, current_user(), 60s);
  signal(SIGPIPE, SIG_DFL);
  BOOST_TEST(descriptors.output == "0\n1\n2\n3\n"); // 3 is the listing's own
  BOOST_TEST(signals.output == "SigIgn:\t0000000000000000\n");
}

BOOST_AUTO_TEST_CASE(a_child_that_takes_too_long_is_killed_with_its_children) {
  const auto begin = std::chrono::steady_clock::now();
  const auto report = shell("tail -f /dev/null & wait", 50ms);
  BOOST_TEST(report.timed_out);
  BOOST_TEST(!report.succeeded());
  BOOST_TEST((std::chrono::steady_clock::now() - begin < 60s));
}

BOOST_AUTO_TEST_CASE(output_beyond_the_bound_is_read_and_dropped) {
  const auto report = shell("head -c 300000 /dev/zero");
  BOOST_TEST(report.succeeded());
  BOOST_TEST(report.output.size() == 64U * 1024U);
}

BOOST_AUTO_TEST_CASE(a_program_that_is_not_there_is_an_error_with_its_name) {
  BOOST_CHECK_EXCEPTION(run({"/nonexistent", {}, {}, true}, current_user(), 60s), std::system_error,
                        [](const std::system_error& failed) {
                          return failed.code() == std::errc::no_such_file_or_directory
                                 && std::string(failed.what()).find("/nonexistent")
                                        != std::string::npos;
                        });
}

BOOST_AUTO_TEST_CASE(a_handle_tells_the_end_of_a_process_and_signals_only_it) {
  const unique_fd sink(open("/dev/null", O_WRONLY | O_CLOEXEC));
  const pid_t child = spawn({"/bin/cat", {"/dev/zero"}, {}, true}, current_user(), sink.get());
  const unique_fd handle = open_process(child);
  BOOST_REQUIRE(handle);
  BOOST_TEST(signal_process(handle, SIGKILL));
  pollfd ended{handle.get(), POLLIN, 0};
  BOOST_TEST(poll(&ended, 1, 60'000) == 1);
  waitpid(child, nullptr, 0);
  BOOST_TEST(!signal_process(handle, SIGKILL));
  BOOST_TEST(!open_process(child));
}

BOOST_AUTO_TEST_CASE(users_are_found_by_name) {
  BOOST_TEST(find_user("root")->uid == 0U);
  BOOST_TEST(!find_user("no-such-user"));
  BOOST_TEST(user_name(0) == "root");
  BOOST_TEST(user_name(4'000'000'000U) == "4000000000");
}

BOOST_AUTO_TEST_CASE(as_root_a_child_and_a_file_belong_to_the_other_user) {
  if (geteuid() != 0)
    return;
  const auto other = find_user("nobody");
  BOOST_REQUIRE(other.has_value());
  const auto report = run({"/usr/bin/id", {"-u"}, {}, true}, *other, 60s);
  BOOST_TEST(report.output == std::to_string(other->uid) + "\n");
  const tests::temp_dir closed;
  {
    const filesystem_identity as_other(*other);
    BOOST_TEST(!std::ofstream(closed.path() / "mine"));
    BOOST_TEST(geteuid() == 0U);
  }
  BOOST_TEST(!!std::ofstream(closed.path() / "mine"));
}

BOOST_AUTO_TEST_CASE(of_what_a_program_says_the_errors_are_kept) {
  BOOST_TEST(
      error_lines("the files\ncreating ... ok\n2026 UTC [1] FATAL:  could not write: No space "
                  "left on device\nchild process exited\ninitdb: error: no good\n\n")
      == "2026 UTC [1] FATAL:  could not write: No space left on device; initdb: error: no good");
  BOOST_TEST(error_lines("1\n2\n\n3\n4") == "2; 3; 4");
  BOOST_TEST(error_lines("\n") == "");
  BOOST_TEST(error_lines("") == "");
}
