// Addresses that are taken long before anybody accepts: who connects waits, and what is taken is
// said.
#include "http/door.hpp"
#include "tests/http/running_server.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <fcntl.h>
#include <filesystem>
#include <string>
#include <thread>

using namespace troupe;
using namespace troupe::http;
using namespace troupe::tests;

namespace {

namespace fs = std::filesystem;

constexpr int backlog = 8;

std::string refused(const std::string& address, std::uint16_t port) {
  try {
    door::on_port(address, port, backlog);
  } catch (const std::runtime_error& e) {
    return e.what();
  }
  return {};
}

} // namespace

BOOST_AUTO_TEST_CASE(who_connects_before_the_server_starts_is_answered_by_it) {
  const temp_dir dir;
  auto options = running_server::usual();
  options.socket_path = (dir.path() / "t.sock").string();
  auto at = open_doors(options);
  raw_client by_tcp{at.tcp->port()};
  raw_client by_path{options.socket_path};
  by_tcp.send(get("/livez"));
  by_path.send(get("/livez"));

  boost::asio::io_context loop{1};
  services context;
  context.ask = std::make_shared<canned_engine>();
  server late{loop, options, std::move(context)};
  const auto port = at.tcp->port();
  late.start(std::move(at));
  BOOST_TEST(late.port() == port);
  std::thread runs{[&] { loop.run(); }};
  BOOST_TEST(by_tcp.receive().status == 200);
  BOOST_TEST(by_path.receive().status == 200);
  late.stop(0ms, [] {});
  runs.join();
  BOOST_TEST(fs::is_empty(dir.path()));
}

BOOST_AUTO_TEST_CASE(an_address_that_cannot_be_had_is_told_with_its_reason) {
  for (const std::string address : {"127.0.0.1", "::1"}) {
    const auto taken = door::on_port(address, 0, backlog);
    const auto where = (address == "::1" ? "[::1]" : address) + ":" + std::to_string(taken.port());
    BOOST_TEST(refused(address, taken.port())
               == "cannot listen on " + where
                      + ": the address is taken, perhaps by another troupe; choose another with "
                        "--listen");
  }
  BOOST_TEST(refused("192.0.2.1", 0).find("this machine has no such address") != std::string::npos);
  BOOST_TEST(refused("example", 80).find("give an IP address") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_address_is_free_again_and_the_file_gone_when_its_door_is) {
  const temp_dir dir;
  const auto path = (dir.path() / "t.sock").string();
  std::uint16_t port = 0;
  {
    const auto by_tcp = door::on_port("localhost", 0, backlog);
    auto by_path = door::on_path(path, 0600, backlog);
    const auto moved = std::move(by_path);
    BOOST_TEST(fs::is_socket(path));
    port = by_tcp.port();
  }
  BOOST_TEST(refused("127.0.0.1", port).empty());
  BOOST_TEST(fs::is_empty(dir.path()));
}

BOOST_AUTO_TEST_CASE(programs_that_are_started_meanwhile_do_not_inherit_it) {
  const temp_dir dir;
  auto by_tcp = door::on_port("127.0.0.1", 0, backlog);
  auto by_path = door::on_path((dir.path() / "t.sock").string(), 0600, backlog);
  for (auto* one : {&by_tcp, &by_path}) {
    const auto file = one->release_file();
    const int descriptor = one->release();
    BOOST_TEST((fcntl(descriptor, F_GETFD) & FD_CLOEXEC) != 0);
    ::close(descriptor);
  }
}
