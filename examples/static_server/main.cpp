// A small web server for crawls to try: the files of one directory, on loopback only, GET and HEAD
// with keep-alive. scripts/run and the tests start it; it is not meant to face anybody.
//   troupe-static-server DIRECTORY [PORT]    prints its URL; port 0 (the default) takes a free one
// Bounds: 256 connections, 16 KiB of request head, 30 s of idleness, 16 MiB per file.
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using asio::ip::tcp;

constexpr int connection_bound = 256;
constexpr std::size_t head_bound = 16'384;
constexpr std::uintmax_t file_bound = 16'777'216;
constexpr std::chrono::seconds idle_limit{30};

struct request {
  std::string method;
  std::string target;
  bool keep_alive = true;
  bool has_body = false;
};

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  const auto last = text.find_last_not_of(" \t");
  return first == std::string_view::npos ? "" : text.substr(first, last - first + 1);
}

/// Nothing when the head is no HTTP/1 request.
std::optional<request> parse(std::string_view head) {
  const auto line_end = head.find("\r\n");
  const auto line = head.substr(0, line_end);
  const auto first = line.find(' ');
  const auto second = line.rfind(' ');
  if (first == std::string_view::npos || second == first
      || !line.substr(second + 1).starts_with("HTTP/1."))
    return std::nullopt;
  request parsed{std::string(line.substr(0, first)),
                 std::string(line.substr(first + 1, second - first - 1))};
  parsed.keep_alive = line.substr(second + 1) != "HTTP/1.0";
  head.remove_prefix(line_end + 2);
  while (!head.empty()) {
    const auto end = std::min(head.find("\r\n"), head.size());
    const auto field = head.substr(0, end);
    const auto name = field.substr(0, field.find(':'));
    const auto value = trimmed(field.substr(std::min(name.size() + 1, field.size())));
    if (equal_ignoring_case(name, "connection"))
      parsed.keep_alive = parsed.keep_alive && !equal_ignoring_case(value, "close");
    if (equal_ignoring_case(name, "transfer-encoding")
        || (equal_ignoring_case(name, "content-length") && value != "0"))
      parsed.has_body = true;
    head.remove_prefix(std::min(end + 2, head.size()));
  }
  return parsed;
}

/// The path of a target: without query, percent-decoded. Nothing when it is malformed.
std::optional<std::string> decoded_path(std::string_view target) {
  target = target.substr(0, target.find('?'));
  if (!target.starts_with('/'))
    return std::nullopt;
  std::string path;
  for (std::size_t i = 0; i < target.size(); ++i) {
    char c = target[i];
    if (c == '%') {
      unsigned value = 0;
      const auto digits = target.substr(i + 1, 2);
      const auto [end, failed] =
          std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
      if (failed != std::errc{} || end != digits.data() + 2 || digits.size() != 2)
        return std::nullopt;
      c = static_cast<char>(value);
      i += 2;
    }
    if (c == '\0')
      return std::nullopt;
    path += c;
  }
  return path;
}

/// The file below `root` that the path names; nothing when there is none or it leads outside,
/// be it by dots or by a link.
std::optional<fs::path> locate(const fs::path& root, const std::string& path) {
  std::error_code missing;
  fs::path file = fs::canonical(root / fs::path(path).relative_path(), missing);
  if (!missing && fs::is_directory(file, missing))
    file = fs::canonical(file / "index.html", missing);
  if (missing || !fs::is_regular_file(file, missing))
    return std::nullopt;
  const auto [root_end, file_at] =
      std::mismatch(root.begin(), root.end(), file.begin(), file.end());
  return root_end == root.end() ? std::optional(file) : std::nullopt;
}

std::string_view media_type(const fs::path& file) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 8> types{{
      {".html", "text/html; charset=utf-8"},
      {".css", "text/css"},
      {".js", "text/javascript"},
      {".txt", "text/plain; charset=utf-8"},
      {".svg", "image/svg+xml"},
      {".png", "image/png"},
      {".xml", "application/xml"},
      {".json", "application/json"},
  }};
  for (const auto& [extension, type] : types) {
    if (file.extension() == extension)
      return type;
  }
  return "application/octet-stream";
}

struct answer {
  std::string status;
  std::string_view type = "text/plain; charset=utf-8";
  std::string body;
};

answer respond(const fs::path& root, const std::optional<request>& asked) {
  const auto path = asked ? decoded_path(asked->target) : std::nullopt;
  if (!path || asked->has_body)
    return {"400 Bad Request", "text/plain", "bad request\n"};
  if (asked->method != "GET" && asked->method != "HEAD")
    return {"405 Method Not Allowed", "text/plain", "only GET and HEAD\n"};
  const auto file = locate(root, *path);
  if (!file || fs::file_size(*file) > file_bound)
    return {"404 Not Found", "text/plain", "not found\n"};
  answer found{"200 OK", media_type(*file), std::string(fs::file_size(*file), '\0')};
  std::ifstream in(*file, std::ios::binary);
  in.read(found.body.data(), static_cast<std::streamsize>(found.body.size()));
  found.body.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  return found;
}

class connection : public std::enable_shared_from_this<connection> {
public:
  connection(tcp::socket socket, const fs::path& root, int& alive)
      : socket_(std::move(socket)), idle_(socket_.get_executor()), root_(root), alive_(alive) {
    ++alive_;
  }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  ~connection() { --alive_; }

  void read() {
    idle_.expires_after(idle_limit);
    idle_.async_wait([self = shared_from_this()](boost::system::error_code cancelled) {
      if (!cancelled)
        self->socket_.close(cancelled);
    });
    asio::async_read_until(
        socket_, asio::dynamic_buffer(input_, head_bound), "\r\n\r\n",
        [self = shared_from_this()](boost::system::error_code failed, std::size_t length) {
          if (failed)
            self->idle_.cancel();
          else
            self->write(length);
        });
  }

private:
  void write(std::size_t head_length) {
    const auto asked = parse(std::string_view(input_).substr(0, head_length - 2));
    input_.erase(0, head_length);
    answer_ = respond(root_, asked);
    const bool keep = asked && asked->keep_alive && !asked->has_body;
    head_ = "HTTP/1.1 " + answer_.status + "\r\nContent-Type: " + std::string(answer_.type)
            + "\r\nContent-Length: " + std::to_string(answer_.body.size())
            + (answer_.status.starts_with("405") ? "\r\nAllow: GET, HEAD" : "")
            + (keep ? "\r\nConnection: keep-alive\r\n\r\n" : "\r\nConnection: close\r\n\r\n");
    if (asked && asked->method == "HEAD")
      answer_.body.clear();
    const std::array<asio::const_buffer, 2> parts{asio::buffer(head_), asio::buffer(answer_.body)};
    asio::async_write(
        socket_, parts,
        [self = shared_from_this(), keep](boost::system::error_code failed, std::size_t) {
          self->idle_.cancel();
          if (!failed && keep)
            self->read();
        });
  }

  tcp::socket socket_;
  asio::steady_timer idle_;
  const fs::path& root_;
  int& alive_;
  std::string input_;
  std::string head_;
  answer answer_;
};

void accept_next(tcp::acceptor& acceptor, const fs::path& root, int& alive) {
  acceptor.async_accept([&](boost::system::error_code failed, tcp::socket socket) {
    if (!failed && alive < connection_bound) { // beyond the bound: closed at once
      socket.set_option(tcp::no_delay(true), failed);
      std::make_shared<connection>(std::move(socket), root, alive)->read();
    }
    if (failed != asio::error::operation_aborted)
      accept_next(acceptor, root, alive);
  });
}

int serve(const fs::path& root, unsigned short port) {
  int alive = 0; // outlives the context, whose end destroys the connections
  asio::io_context context{1};
  tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), port));
  asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&](boost::system::error_code, int) { context.stop(); });
  accept_next(acceptor, root, alive);
  std::cout << "http://127.0.0.1:" << acceptor.local_endpoint().port() << "/" << std::endl;
  context.run();
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  unsigned short port = 0;
  const std::string_view number = argc > 2 ? argv[2] : "0";
  const auto [end, failed] = std::from_chars(number.data(), number.data() + number.size(), port);
  if (argc < 2 || argc > 3 || failed != std::errc{} || end != number.data() + number.size()) {
    std::cerr << "usage: troupe-static-server DIRECTORY [PORT]\n";
    return 2;
  }
  try {
    return serve(fs::canonical(argv[1]), port);
  } catch (const std::exception& thrown) {
    std::cerr << "troupe-static-server: " << thrown.what() << "\n";
    return 1;
  }
}
