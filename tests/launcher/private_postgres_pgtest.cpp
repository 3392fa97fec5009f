// The private PostgreSQL through its whole life on clusters of its own: first start, later starts,
// kills of the engine and of the server, kills in the middle of initdb, and everything that may
// stand in its way. Runs as root (the server then runs as postgres) and as an ordinary user.
#include "launcher/private_postgres.hpp"
#include "tests/support/await.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>
#include <libpq-fe.h>

#include <array>
#include <atomic>
#include <csignal>
#include <fstream>
#include <functional>
#include <grp.h>
#include <poll.h>
#include <string>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace troupe;
using namespace std::chrono_literals;
using tests::await_until;
using tests::temp_dir;
namespace fs = std::filesystem;

namespace {

private_postgres::options in(const fs::path& directory) {
  private_postgres::options wanted;
  wanted.data_dir = directory;
  wanted.first_restart = 50ms;
  return wanted;
}

/// The first column of the first row, or the error.
std::string ask(const private_postgres& server, const std::string& sql) {
  PGconn* connection = PQconnectdb(server.url().c_str());
  std::string answer = PQerrorMessage(connection);
  if (PQstatus(connection) == CONNECTION_OK) {
    PGresult* result = PQexec(connection, sql.c_str());
    answer = PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : PQresultErrorMessage(result);
    PQclear(result);
  }
  PQfinish(connection);
  return answer;
}

mode_t mode_of(const fs::path& file) {
  struct stat found {};
  return lstat(file.c_str(), &found) == 0 ? found.st_mode & 07777U : 0;
}

uid_t owner_of(const fs::path& file) {
  struct stat found {};
  return lstat(file.c_str(), &found) == 0 ? found.st_uid : static_cast<uid_t>(-1);
}

bool is_alive(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(stat, text);
  const auto state = text.rfind(") ");
  return state != std::string::npos && text[state + 2] != 'Z';
}

/// Another process, as a second engine would be. It says what it has to say in one line.
class other_process {
public:
  explicit other_process(const std::function<std::string()>& body) {
    std::array<int, 2> ends{};
    BOOST_REQUIRE(pipe(ends.data()) == 0);
    pid_ = fork();
    if (pid_ == 0) {
      std::string said;
      try {
        said = body();
      } catch (const std::exception& thrown) {
        said = std::string("error: ") + thrown.what();
      }
      said += '\n';
      [[maybe_unused]] const auto written = write(ends[1], said.data(), said.size());
      _exit(0);
    }
    close(ends[1]);
    out_ = ends[0];
  }
  other_process(const other_process&) = delete;
  other_process& operator=(const other_process&) = delete;
  ~other_process() {
    kill();
    close(out_);
  }
  /// What it said by its end, or within the deadline.
  std::string wait() const {
    std::string said;
    std::array<char, 1024> block{};
    pollfd readable{out_, POLLIN, 0};
    while (poll(&readable, 1, 120'000) > 0) {
      const auto got = read(out_, block.data(), block.size());
      if (got <= 0)
        break;
      said.append(block.data(), static_cast<std::size_t>(got));
    }
    while (!said.empty() && said.back() == '\n')
      said.pop_back();
    return said;
  }
  void kill() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    pid_ = -1;
  }

private:
  pid_t pid_ = -1;
  int out_ = -1;
};

/// Starts a server in another process that is then killed with -9. Answers the server's pid.
pid_t start_and_lose_the_engine(const fs::path& directory) {
  const other_process engine([&] {
    auto server = private_postgres::start(in(directory));
    const auto pid = std::to_string(*server.postmaster_pid()) + "\n";
    ask(server, "create table if not exists survivor as select 42 as n");
    std::array<int, 2> never{};
    if (pipe(never.data()) != 0)
      return std::string("no pipe");
    std::ofstream(directory / "engine-is-up") << pid << std::flush;
    char byte = 0;
    return std::to_string(read(never[0], &byte, 1)); // until killed
  });
  const fs::path mark = directory / "engine-is-up";
  BOOST_REQUIRE(await_until([&] { return fs::exists(mark) && fs::file_size(mark) > 1; }));
  pid_t pid = 0;
  std::ifstream(mark) >> pid;
  fs::remove(mark);
  return pid;
}

std::string error_of(const private_postgres::options& wanted) {
  try {
    private_postgres::start(wanted);
  } catch (const postgres_error& failed) {
    return failed.what();
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos)
    return true;
  BOOST_TEST_MESSAGE("'" << part << "' is not in: " << text);
  return false;
}

} // namespace

BOOST_AUTO_TEST_CASE(a_first_start_makes_a_cluster_that_the_next_one_finds) {
  const temp_dir directory;
  std::string told;
  auto wanted = in(directory.path());
  wanted.progress = [&](std::string_view line) { told += line; };
  {
    auto server = private_postgres::start(wanted);
    BOOST_TEST(contains(told, "creating private PostgreSQL"));
    BOOST_TEST(server.running());
    BOOST_TEST(ask(server, "select current_database()") == "troupe");
    BOOST_TEST(ask(server, "show data_checksums") == "on");
    BOOST_TEST(ask(server, "show fsync") == "on");
    BOOST_TEST(ask(server, "show full_page_writes") == "on");
    BOOST_TEST(ask(server, "show synchronous_commit") == "on");
    BOOST_TEST(ask(server, "show listen_addresses") == "");
    BOOST_TEST(ask(server, "show server_encoding") == "UTF8");
    BOOST_TEST(ask(server, "show jit") == "off");
    BOOST_TEST(ask(server, "show shared_buffers") == "256MB");
    ask(server, "create table survivor as select 42 as n");
    server.stop();
    BOOST_TEST(!server.running());
    BOOST_TEST(!server.postmaster_pid().has_value());
    server.stop();
  }
  told.clear();
  auto again = private_postgres::start(wanted);
  BOOST_TEST(told.empty());
  BOOST_TEST(ask(again, "select n from survivor") == "42");
}

BOOST_AUTO_TEST_CASE(only_the_owner_gets_at_the_cluster_and_its_socket) {
  const temp_dir directory;
  auto server = private_postgres::start(in(directory.path()));
  BOOST_TEST(mode_of(directory.path() / "pg") == 0700U);
  BOOST_TEST(mode_of(directory.path() / "pgdata") == 0700U);
  BOOST_TEST(mode_of(directory.path() / "lock") == 0600U);
  BOOST_TEST(mode_of(directory.path() / "pg.log") == 0600U);
  BOOST_TEST((mode_of(directory.path()) & 0066U) == 0U);
  BOOST_TEST((mode_of(directory.path() / "pg" / ".s.PGSQL.5432") & 0077U) == 0U);
  const auto pid = *server.postmaster_pid();
  BOOST_TEST(owner_of("/proc/" + std::to_string(pid)) != 0U);
  BOOST_TEST(getsid(pid) == pid, "Ctrl-C on our terminal would reach the server");
}

BOOST_AUTO_TEST_CASE(a_server_that_outlived_its_engine_is_adopted) {
  const temp_dir directory;
  const pid_t orphan = start_and_lose_the_engine(directory.path());
  BOOST_REQUIRE(is_alive(orphan));
  auto server = private_postgres::start(in(directory.path()));
  BOOST_TEST(server.postmaster_pid().value() == orphan);
  BOOST_TEST(ask(server, "select n from survivor") == "42");
  server.stop();
  BOOST_TEST(!is_alive(orphan));
}

BOOST_AUTO_TEST_CASE(an_adopted_server_is_watched_too) {
  const temp_dir directory;
  const pid_t orphan = start_and_lose_the_engine(directory.path());
  auto server = private_postgres::start(in(directory.path()));
  BOOST_REQUIRE(kill(orphan, SIGKILL) == 0);
  BOOST_TEST(await_until([&] { return server.postmaster_pid().value_or(orphan) != orphan; }));
  BOOST_TEST(await_until([&] { return ask(server, "select n from survivor") == "42"; }));
}

BOOST_AUTO_TEST_CASE(an_orphan_that_hangs_is_ended_and_replaced) {
  const temp_dir directory;
  const pid_t orphan = start_and_lose_the_engine(directory.path());
  BOOST_REQUIRE(kill(orphan, SIGSTOP) == 0);
  auto wanted = in(directory.path());
  wanted.silence_limit = 5s; // also for the one that replaces it
  auto server = private_postgres::start(wanted);
  BOOST_TEST(server.postmaster_pid().value() != orphan);
  BOOST_TEST(!is_alive(orphan));
  BOOST_TEST(ask(server, "select n from survivor") == "42");
}

BOOST_AUTO_TEST_CASE(an_orphan_that_is_stopping_is_waited_for) {
  const temp_dir directory;
  const pid_t orphan = start_and_lose_the_engine(directory.path());
  BOOST_REQUIRE(kill(orphan, SIGTERM) == 0);
  auto server = private_postgres::start(in(directory.path()));
  BOOST_TEST(ask(server, "select n from survivor") == "42");
}

BOOST_AUTO_TEST_CASE(a_killed_server_comes_back_with_its_data) {
  const temp_dir directory;
  auto server = private_postgres::start(in(directory.path()));
  ask(server, "create table survivor as select 42 as n");
  for (int round = 0; round < 2; ++round) {
    const pid_t before = *server.postmaster_pid();
    BOOST_REQUIRE(kill(before, SIGKILL) == 0);
    BOOST_REQUIRE(await_until([&] { return server.postmaster_pid().value_or(before) != before; }));
    BOOST_TEST(await_until([&] { return ask(server, "select n from survivor") == "42"; }));
  }
}

BOOST_AUTO_TEST_CASE(children_that_do_not_notice_their_servers_death_do_not_delay_its_restart) {
  const temp_dir directory;
  auto server = private_postgres::start(in(directory.path()));
  const auto log_of_server = [&] {
    std::ifstream in(directory.path() / "pg.log");
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  // One that computes for ever, then one that is stopped and gets no signal but the last one.
  for (const bool stopped : {false, true}) {
    PGconn* busy = PQconnectdb(server.url().c_str());
    BOOST_REQUIRE(PQstatus(busy) == CONNECTION_OK);
    const pid_t child = PQbackendPID(busy);
    BOOST_REQUIRE(PQsendQuery(busy, "do $$ begin loop perform 1; end loop; end $$") == 1);
    BOOST_REQUIRE(await_until([&] {
      return ask(server, "select count(*) from pg_stat_activity where state = 'active' and pid = "
                             + std::to_string(child))
             == "1";
    }));
    if (stopped)
      BOOST_REQUIRE(kill(child, SIGSTOP) == 0);
    const pid_t before = *server.postmaster_pid();
    BOOST_REQUIRE(kill(before, SIGKILL) == 0);
    BOOST_REQUIRE(await_until([&] { return server.postmaster_pid().value_or(before) != before; }));
    BOOST_TEST(await_until([&] { return ask(server, "select 1") == "1"; }));
    BOOST_TEST(!is_alive(child));
    PQfinish(busy);
  }
  BOOST_TEST(log_of_server().find("pre-existing shared memory") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(stopping_while_the_server_is_down_returns_at_once) {
  const temp_dir directory;
  auto wanted = in(directory.path());
  wanted.first_restart = 1h;
  auto server = private_postgres::start(wanted);
  const pid_t pid = *server.postmaster_pid();
  BOOST_REQUIRE(kill(pid, SIGKILL) == 0);
  BOOST_REQUIRE(await_until([&] { return !server.running(); }));
  const auto begin = std::chrono::steady_clock::now();
  server.stop();
  BOOST_TEST((std::chrono::steady_clock::now() - begin < tests::patience));
}

BOOST_AUTO_TEST_CASE(a_stale_pid_file_of_a_foreign_process_does_not_matter) {
  const temp_dir directory;
  private_postgres::start(in(directory.path())).stop();
  {
    std::ofstream pid_file(directory.path() / "pgdata" / "postmaster.pid");
    pid_file << getpid() << "\n"
             << (directory.path() / "pgdata").string() << "\n1\n5432\n\n\n1 1\nready   \n";
  }
  auto server = private_postgres::start(in(directory.path()));
  BOOST_TEST(server.running());
  BOOST_TEST(server.postmaster_pid().value() != getpid());
}

BOOST_AUTO_TEST_CASE(two_engines_cannot_share_a_directory) {
  const temp_dir directory;
  auto server = private_postgres::start(in(directory.path()));
  const std::string expected = "is in use by process " + std::to_string(getpid());
  BOOST_TEST(contains(error_of(in(directory.path())), expected));
  const other_process second([&] { return error_of(in(directory.path())); });
  BOOST_TEST(contains(second.wait(), expected));
  BOOST_TEST(ask(server, "select 1") == "1");
}

BOOST_AUTO_TEST_CASE(a_kill_during_initdb_leaves_a_directory_that_starts) {
  // Each is there a little later than the one before it.
  const std::array<const char*, 4> stages = {"", "PG_VERSION", "base/1", "troupe.conf"};
  for (const char* stage : stages) {
    const temp_dir directory;
    const auto reached = [&] {
      for (const auto& entry : fs::directory_iterator(directory.path())) {
        if (entry.path().filename().string().starts_with("pgdata")
            && fs::exists(entry.path() / stage))
          return true;
      }
      return false;
    };
    {
      other_process engine([&] {
        private_postgres::start(in(directory.path())).stop();
        return std::string();
      });
      BOOST_REQUIRE(await_until(reached));
      engine.kill();
    }
    auto server = private_postgres::start(in(directory.path()));
    BOOST_TEST(ask(server, "select current_database()") == "troupe", "killed at '" << stage << "'");
    for (const auto& entry : fs::directory_iterator(directory.path()))
      BOOST_TEST(!entry.path().filename().string().starts_with("pgdata.new"), entry.path());
  }
}

BOOST_AUTO_TEST_CASE(a_directory_with_odd_characters_works) {
  const temp_dir parent;
  fs::permissions(parent.path(), fs::perms{0711});
  const auto odd = parent.path() / "it's \"odd\" \\ & caf\xc3\xa9 %20";
  auto server = private_postgres::start(in(odd));
  BOOST_TEST(ask(server, "select 1") == "1");
  BOOST_TEST(contains(error_of(in(parent.path() / "a,b")), "holds a comma"));
}

BOOST_AUTO_TEST_CASE(missing_programs_are_named_with_their_package) {
  const temp_dir directory;
  auto wanted = in(directory.path());
  wanted.bin_dir = "/nonexistent/bin";
  BOOST_TEST(contains(error_of(wanted), "no PostgreSQL programs"));
  BOOST_TEST(contains(error_of(wanted), "/nonexistent/bin"));
}

BOOST_AUTO_TEST_CASE(a_path_too_long_for_a_socket_is_refused_before_anything_is_made) {
  const temp_dir parent;
  const auto long_path = parent.path() / std::string(100, 'x');
  const auto error = error_of(in(long_path));
  BOOST_TEST(contains(error, "--data-dir"));
  BOOST_TEST(contains(error, "107"));
  BOOST_TEST(!fs::exists(long_path));
}

BOOST_AUTO_TEST_CASE(a_directory_that_others_may_write_is_refused) {
  const temp_dir directory;
  fs::permissions(directory.path(), fs::perms{0777});
  BOOST_TEST(contains(error_of(in(directory.path())), "may be written by others (mode 0777)"));
}

BOOST_AUTO_TEST_CASE(a_cluster_of_another_major_version_is_named) {
  const temp_dir directory;
  private_postgres::start(in(directory.path())).stop();
  std::ofstream(directory.path() / "pgdata" / "PG_VERSION") << "9\n";
  BOOST_TEST(contains(error_of(in(directory.path())), "made by PostgreSQL 9"));
}

BOOST_AUTO_TEST_CASE(something_else_in_the_clusters_place_is_left_alone) {
  const temp_dir directory;
  fs::create_directory(directory.path() / "pgdata");
  std::ofstream(directory.path() / "pgdata" / "precious") << "data";
  BOOST_TEST(contains(error_of(in(directory.path())), "is no PostgreSQL cluster"));
  BOOST_TEST(fs::exists(directory.path() / "pgdata" / "precious"));
}

BOOST_AUTO_TEST_CASE(a_server_that_cannot_start_shows_the_end_of_its_log) {
  const temp_dir directory;
  private_postgres::start(in(directory.path())).stop();
  std::ofstream(directory.path() / "pgdata" / "postgresql.conf", std::ios::app)
      << "shared_buffers = nonsense\n";
  const auto error = error_of(in(directory.path()));
  BOOST_TEST(contains(error, "did not start"));
  BOOST_TEST(contains(error, "shared_buffers"));
}

BOOST_AUTO_TEST_CASE(as_root_a_closed_parent_is_named) {
  if (geteuid() != 0)
    return;
  const temp_dir parent;
  const auto error = error_of(in(parent.path() / "data"));
  BOOST_TEST(contains(error, "user postgres"));
  BOOST_TEST(contains(error, "cannot pass through " + parent.path().string()));
}

BOOST_AUTO_TEST_CASE(as_root_a_missing_os_user_is_named) {
  if (geteuid() != 0)
    return;
  const temp_dir directory;
  auto wanted = in(directory.path());
  wanted.os_user = "no-such-user";
  BOOST_TEST(contains(error_of(wanted), "'no-such-user'"));
  wanted.os_user = "root";
  BOOST_TEST(contains(error_of(wanted), "does not run as root"));
}

BOOST_AUTO_TEST_CASE(an_ordinary_user_runs_it_as_itself) {
  if (geteuid() != 0)
    return; // every other test here has shown it
  const temp_dir directory;
  constexpr uid_t nobody = 65534;
  BOOST_REQUIRE(chown(directory.path().c_str(), nobody, nobody) == 0);
  const other_process engine([&]() -> std::string {
    if (setgroups(0, nullptr) != 0 || setgid(nobody) != 0 || setuid(nobody) != 0)
      return "cannot become nobody";
    auto server = private_postgres::start(in(directory.path()));
    const auto owner = owner_of("/proc/" + std::to_string(*server.postmaster_pid()));
    return ask(server, "select current_user") + " " + std::to_string(owner);
  });
  BOOST_TEST(engine.wait() == "postgres 65534");
  BOOST_TEST(contains(error_of(in(directory.path())), "belongs to user nobody"));
}
