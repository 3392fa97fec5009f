// Unix sockets: whose file it is at the start and at the end, who may use it, and HTTP over it.
#include "http/socket_file.hpp"
#include "tests/http/running_server.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>

using namespace troupe;
using namespace troupe::http;
using namespace troupe::tests;

namespace {

namespace fs = std::filesystem;

server_options on(const std::string& path, const server_limits& limits = {}) {
  server_options out;
  out.address.clear();
  out.socket_path = path;
  out.limits = limits;
  return out;
}

/// Why a server cannot start there, or empty.
std::string refused(const std::string& path) {
  try {
    const running_server server{nullptr, on(path)};
    return {};
  } catch (const std::runtime_error& e) {
    return e.what();
  }
}

bool says(const std::string& text, const std::string& part) {
  BOOST_TEST_INFO(text);
  return text.find(part) != std::string::npos;
}

/// A socket file that nobody serves any more, as a killed server leaves it.
void leave_behind(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  path.copy(at.sun_path, sizeof at.sun_path - 1);
  BOOST_REQUIRE(bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
  ::close(fd);
}

mode_t mode_of(const std::string& path) {
  struct stat found {};
  BOOST_REQUIRE(stat(path.c_str(), &found) == 0);
  return found.st_mode & 07777;
}

} // namespace

BOOST_AUTO_TEST_CASE(a_unix_socket_serves_any_host_and_its_file_is_the_owners) {
  const temp_dir dir;
  const auto path = (dir.path() / "t.sock").string();
  {
    running_server server{nullptr, on(path)};
    BOOST_TEST(server.port() == 0);
    BOOST_TEST(mode_of(path) == 0600U);
    raw_client client{path};
    BOOST_TEST(client.ask(create).status == 201);
    BOOST_TEST(client.ask("GET /livez HTTP/1.1\r\nHost: any.example\r\n\r\n").status == 200);
  }
  BOOST_TEST(fs::is_empty(dir.path()));
  auto open_to_group = on(path);
  open_to_group.socket_mode = 0660;
  const auto before = umask(077);
  {
    const running_server server{nullptr, open_to_group};
    BOOST_TEST(mode_of(path) == 0660U);
  }
  umask(before);
}

BOOST_AUTO_TEST_CASE(tcp_and_a_unix_socket_are_served_at_once_and_drain_together) {
  const temp_dir dir;
  auto both = running_server::usual();
  both.socket_path = (dir.path() / "t.sock").string();
  running_server server{nullptr, both};
  slow_engine engine{*server.engine};
  raw_client by_tcp{server.port()};
  raw_client by_path{both.socket_path};
  by_tcp.send(create);
  by_path.send(create);
  raw_client idle{both.socket_path};
  BOOST_TEST(idle.ask(get("/livez")).status == 200);
  BOOST_REQUIRE(engine.asked.await(2));
  auto stopped = server.begin_stop(60s);
  BOOST_TEST(idle.ended());
  BOOST_TEST(await_until([&] { return fs::is_empty(dir.path()); }));
  engine.release();
  for (auto* client : {&by_tcp, &by_path}) {
    const auto answer = client->receive();
    BOOST_TEST(answer.status == 201);
    BOOST_TEST(answer.header("Connection") == "close");
    client->close();
  }
  BOOST_TEST((stopped.wait_for(patience) == std::future_status::ready));
}

BOOST_AUTO_TEST_CASE(the_limit_of_connections_is_one_for_all_listeners) {
  const temp_dir dir;
  server_limits limits;
  limits.connections = 1;
  auto both = running_server::usual(limits);
  both.socket_path = (dir.path() / "t.sock").string();
  running_server server{nullptr, both};
  std::optional<raw_client> first{server.port()};
  BOOST_TEST(first->ask(get("/livez")).status == 200);
  raw_client second{both.socket_path};
  raw_client third{server.port()};
  second.send(get("/livez", "Connection: close\r\n"));
  BOOST_TEST(first->ask(get("/livez")).status == 200);
  BOOST_TEST(server.counters.http_connections == 1U);
  first.reset();
  BOOST_TEST(second.receive().status == 200);
  second.close();
  BOOST_TEST(third.ask(get("/livez")).status == 200);
}

BOOST_AUTO_TEST_CASE(one_user_gets_the_share_of_one_address) {
  const temp_dir dir;
  const auto path = (dir.path() / "t.sock").string();
  server_limits limits;
  limits.connections_per_address = 1;
  running_server server{nullptr, on(path, limits)};
  raw_client first{path};
  BOOST_TEST(first.ask(get("/livez")).status == 200);
  BOOST_TEST(raw_client{path}.ended());
}

BOOST_AUTO_TEST_CASE(what_a_dead_server_left_is_taken_over) {
  const temp_dir dir;
  const auto path = (dir.path() / "t.sock").string();
  leave_behind(path);
  std::ofstream{path + ".lock"} << "";
  running_server server{nullptr, on(path)};
  BOOST_TEST(raw_client{path}.ask(get("/livez")).status == 200);
}

BOOST_AUTO_TEST_CASE(a_live_server_is_not_disturbed) {
  const temp_dir dir;
  const auto path = (dir.path() / "t.sock").string();
  running_server server{nullptr, on(path)};
  BOOST_TEST(
      says(refused(path), "cannot listen on unix:" + path + ": another server listens there"));
  BOOST_TEST(raw_client{path}.ask(get("/livez")).status == 200);
  // Of another program, which knows nothing of the lock.
  const auto foreign = (dir.path() / "f.sock").string();
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  foreign.copy(at.sun_path, sizeof at.sun_path - 1);
  BOOST_REQUIRE(bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
  BOOST_REQUIRE(listen(fd, 0) == 0);
  for (int i = 0; i < 3; ++i) // the third try meets a full backlog
    BOOST_TEST(says(refused(foreign), "another server listens there"));
  ::close(fd);
  BOOST_TEST(refused(foreign).empty());
}

BOOST_AUTO_TEST_CASE(the_file_of_another_server_is_left_alone_at_the_end) {
  const temp_dir dir;
  const auto path = (dir.path() / "t.sock").string();
  {
    const running_server server{nullptr, on(path)};
    fs::remove(path);
    leave_behind(path);
  }
  BOOST_TEST(fs::is_socket(path));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_a_socket_is_refused_in_words) {
  const temp_dir dir;
  const auto file = (dir.path() / "file").string();
  std::ofstream{file} << "precious";
  BOOST_TEST(says(refused(file), "something is there that is no socket"));
  BOOST_TEST(fs::file_size(file) == 8U);
  BOOST_TEST(says(refused((dir.path() / "no/t.sock").string()), "cannot be made"));
  const auto longest = dir.path().string() + "/";
  const auto fits = longest + std::string(107 - longest.size(), 's');
  BOOST_TEST(refused(fits).empty());
  BOOST_TEST(says(refused(fits + "s"), "the path has 108 bytes, and a socket's may have 107"));
  BOOST_TEST(says(refused("t.sock"), "begin with /"));
  BOOST_TEST(!fs::exists(file + ".lock"));
}

BOOST_AUTO_TEST_CASE(of_many_that_start_at_once_one_listens) {
  const temp_dir dir;
  const auto path = (dir.path() / "t.sock").string();
  leave_behind(path);
  constexpr int tries = 8;
  std::atomic<int> hold{0};
  std::atomic<int> lost{0};
  std::vector<std::thread> all;
  event_counter tried;
  event_counter over;
  for (int i = 0; i < tries; ++i)
    all.emplace_back([&] {
      try {
        const socket_file mine{path};
        ++hold;
        tried.add();
        over.await(1);
      } catch (const std::runtime_error&) {
        ++lost;
        tried.add();
      }
    });
  BOOST_TEST(tried.await(tries));
  over.add();
  for (auto& one : all)
    one.join();
  BOOST_TEST(hold == 1);
  BOOST_TEST(lost == tries - 1);
}
