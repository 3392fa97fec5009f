// The ping against sockets that play a server's part, byte by byte. A real one is met in
// private_postgres_pgtest.
#include "launcher/os_process.hpp"
#include "launcher/postgres_ping.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

using namespace troupe;
using namespace std::string_literals;
using namespace std::chrono_literals;
using answer = ping_result::answer;

namespace {

class listener : public tests::temp_dir {
public:
  listener() : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, name().c_str());
    BOOST_REQUIRE(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    BOOST_REQUIRE(listen(fd_.get(), 1) == 0);
  }
  std::string name() const { return (path() / "s").string(); }

  /// Answers one connection with these bytes and closes it.
  ping_result ping(const std::string& reply) {
    std::thread server([&] {
      const unique_fd peer(accept(fd_.get(), nullptr, nullptr));
      std::array<char, 1024> block{};
      const auto got = read(peer.get(), block.data(), block.size());
      heard.assign(block.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
      for (const char byte : reply) // one at a time: messages come in any pieces
        [[maybe_unused]] const auto sent = send(peer.get(), &byte, 1, MSG_NOSIGNAL);
    });
    auto result = ping_postgres(name(), "alice", "stage", 30s);
    server.join();
    return result;
  }
  std::string heard;

private:
  unique_fd fd_;
};

const std::string authenticated = "R\0\0\0\10\0\0\0\0"s + "S\0\0\0\10a\0b\0"s;

std::string error(const std::string& state) {
  const std::string body = "SFATAL\0C"s + state + "\0Mbecause\0\0"s;
  return "E\0\0\0"s + static_cast<char>(body.size() + 4) + body;
}

} // namespace

BOOST_FIXTURE_TEST_CASE(a_server_that_reaches_ready_is_ready, listener) {
  BOOST_TEST((ping(authenticated + "Z\0\0\0\5I"s).kind == answer::ready));
  BOOST_TEST(heard.find("user\0alice\0database\0stage\0"s) != std::string::npos);
  BOOST_TEST(static_cast<std::size_t>(heard.at(3)) == heard.size());
}

BOOST_FIXTURE_TEST_CASE(a_missing_database_is_told_after_authentication, listener) {
  BOOST_TEST((ping(authenticated + error("3D000")).kind == answer::no_database));
}

BOOST_FIXTURE_TEST_CASE(a_starting_server_is_not_yet_ready, listener) {
  BOOST_TEST((ping(error("57P03")).kind == answer::not_yet));
  BOOST_TEST((ping("").kind == answer::not_yet));
}

BOOST_FIXTURE_TEST_CASE(a_full_server_works, listener) {
  BOOST_TEST((ping(error("53300")).kind == answer::ready));
}

BOOST_FIXTURE_TEST_CASE(another_error_is_a_refusal_with_its_sentence, listener) {
  const auto result = ping(error("28000"));
  BOOST_TEST((result.kind == answer::refused));
  BOOST_TEST(result.detail == "because");
  BOOST_TEST((ping("R\0\0\0\10\0\0\0\3"s).kind == answer::refused));
}

BOOST_FIXTURE_TEST_CASE(what_is_not_postgresql_is_refused, listener) {
  BOOST_TEST((ping("HTTP/1.1 400 Bad Request").kind == answer::refused));
  BOOST_TEST((ping("E\x7f\0\0\0"s).kind == answer::refused));
}

BOOST_FIXTURE_TEST_CASE(one_that_listens_and_does_not_answer_is_silent, listener) {
  BOOST_TEST((ping_postgres(name(), "a", "b", 20ms).kind == answer::silent));
}

BOOST_AUTO_TEST_CASE(no_socket_is_nobody_and_a_long_name_is_refused) {
  const tests::temp_dir directory;
  BOOST_TEST((ping_postgres(directory.path() / "s", "a", "b", 1s).kind == answer::nobody));
  BOOST_TEST((ping_postgres("/" + std::string(200, 'x'), "a", "b", 1s).kind == answer::refused));
}
