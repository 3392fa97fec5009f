// StartupMessage out, messages in until the server is ready or says why not, Terminate, close.
#include "launcher/postgres_ping.hpp"

#include "launcher/os_process.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <poll.h>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace troupe {

namespace {

using steady = std::chrono::steady_clock;
using answer = ping_result::answer;

constexpr std::size_t message_bound = 16'384;

void append_number(std::string& out, std::uint32_t value) {
  for (const unsigned shift : {24U, 16U, 8U, 0U})
    out += static_cast<char>((value >> shift) & 0xffU);
}

std::uint32_t read_number(std::string_view bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value = (value << 8U) | static_cast<unsigned char>(bytes[i]);
  return value;
}

std::string startup_message(const std::string& user, const std::string& database) {
  std::string body;
  append_number(body, 3U << 16U); // protocol 3.0
  for (const std::string& part : {std::string("user"), user, std::string("database"), database,
                                  std::string("application_name"), std::string("troupe launcher")})
    body.append(part).push_back('\0');
  body.push_back('\0');
  std::string message;
  append_number(message, static_cast<std::uint32_t>(body.size() + 4));
  return message + body;
}

bool await(int fd, short what, steady::time_point deadline) {
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - steady::now()).count();
    pollfd watched{fd, what, 0};
    const int ready = poll(&watched, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (ready >= 0 || errno != EINTR)
      return ready > 0;
  }
}

/// The field of an ErrorResponse's body: 'C' is the SQLSTATE, 'M' the sentence.
std::string error_field(std::string_view body, char wanted) {
  while (!body.empty() && body.front() != '\0') {
    const std::size_t end = std::min(body.find('\0'), body.size());
    if (body.front() == wanted)
      return std::string(body.substr(1, end - 1));
    body.remove_prefix(std::min(end + 1, body.size()));
  }
  return {};
}

ping_result judge_error(std::string_view body) {
  const std::string state = error_field(body, 'C');
  const std::string sentence = error_field(body, 'M');
  if (state == "3D000")
    return {answer::no_database, sentence};
  if (state == "57P03" || state == "57P01" || state == "57P02")
    return {answer::not_yet, sentence};
  if (state == "53300") // every slot is taken: it works
    return {answer::ready, sentence};
  return {answer::refused, sentence};
}

/// What the first message in `got` says; nothing while more has to come. Messages that say nothing
/// are taken away. The server admits us (R) before it looks for the database, so that is not
/// enough.
std::optional<ping_result> judge(std::string& got) {
  while (got.size() >= 5) {
    const char type = got.front();
    const std::size_t length = read_number(std::string_view(got).substr(1));
    if (std::string_view("RSKNEZ").find(type) == std::string_view::npos || length < 4
        || length > message_bound)
      return ping_result{answer::refused, "what answers on the socket is not PostgreSQL"};
    if (got.size() < length + 1)
      return std::nullopt;
    const std::string_view body = std::string_view(got).substr(5, length - 4);
    if (type == 'Z')
      return ping_result{answer::ready, {}};
    if (type == 'E')
      return judge_error(body);
    if (type == 'R' && (body.size() < 4 || read_number(body) != 0))
      return ping_result{answer::refused, "the server wants a password on its own socket"};
    got.erase(0, length + 1);
  }
  return std::nullopt;
}

ping_result read_reply(int fd, steady::time_point deadline) {
  std::string got;
  std::array<char, 1024> block{};
  for (;;) {
    if (const auto verdict = judge(got)) {
      constexpr std::string_view terminate("X\0\0\0\4", 5);
      [[maybe_unused]] const auto sent =
          send(fd, terminate.data(), terminate.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      return *verdict;
    }
    if (!await(fd, POLLIN, deadline))
      return {answer::silent, {}};
    const ssize_t count = recv(fd, block.data(), block.size(), 0);
    if (count <= 0) // closed without a word: it is going down or coming up
      return {answer::not_yet, {}};
    got.append(block.data(), static_cast<std::size_t>(count));
  }
}

} // namespace

ping_result ping_postgres(const std::filesystem::path& socket, const std::string& user,
                          const std::string& database, std::chrono::milliseconds limit) {
  const auto deadline = steady::now() + limit;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& name = socket.native();
  if (name.size() >= sizeof address.sun_path)
    return {answer::refused, "the socket's path is too long"};
  std::memcpy(address.sun_path, name.data(), name.size());
  const unique_fd connection(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!connection)
    return {answer::refused, std::strerror(errno)};
  if (connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EAGAIN) // its backlog is full
      return {answer::silent, {}};
    if (errno == ENOENT || errno == ECONNREFUSED)
      return {answer::nobody, {}};
    return {answer::refused, std::strerror(errno)};
  }
  const std::string message = startup_message(user, database);
  if (send(connection.get(), message.data(), message.size(), MSG_NOSIGNAL)
      != static_cast<ssize_t>(message.size()))
    return {answer::not_yet, {}};
  return read_reply(connection.get(), deadline);
}

} // namespace troupe
