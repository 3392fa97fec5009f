// Asks a node over plain TCP, a Unix socket or TLS, each connection on a thread of its own: the
// same client for all three, which wrk is not. Prints one JSON object. Usage: troupe_bench_requests
//   --mode load|connect|work (--port N [--ca-file FILE] | --unix PATH) [--connections N]
// load: the same request over kept connections for --seconds S. --post BODY, else --get PATH, of
//   which a trailing # becomes a number up to 1,000; --target PATH of the POST.
// connect: a connection for each GET of --get, for --seconds S; --resume 1: by the last one's
// ticket.
//
// work: workers that claim --batch jobs of --queue, finish them, and claim anew until --jobs are
//   done.
#include <openssl/ssl.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;
using flags = std::map<std::string, std::string>;
using tls_context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
using tls_ticket = std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)>;

constexpr int stored_jobs = 1'000;

[[noreturn]] void fail(const std::string& why) {
  throw std::runtime_error(why);
}

struct place {
  int port = 0;
  std::string path; ///< of a Unix socket, or empty
  tls_context tls{nullptr, &SSL_CTX_free};
};

/// A connection; an answer's text is valid until the next request.
class line {
public:
  line(const place& to, SSL_SESSION* ticket) {
    if (to.path.empty())
      connect_tcp(to.port);
    else
      connect_unix(to.path);
    if (to.tls == nullptr)
      return;
    ssl_.reset(SSL_new(to.tls.get()));
    if (ssl_ == nullptr || SSL_set_fd(ssl_.get(), socket_) != 1
        || SSL_set1_host(ssl_.get(), "localhost") != 1
        || (ticket != nullptr && SSL_set_session(ssl_.get(), ticket) != 1)
        || SSL_connect(ssl_.get()) != 1)
      fail("no TLS connection");
  }
  line(const line&) = delete;
  line& operator=(const line&) = delete;
  ~line() {
    if (ssl_)
      SSL_shutdown(ssl_.get());
    ::close(socket_);
  }

  /// The body of the answer, which must be a success.
  std::string_view ask(std::string_view request) {
    send(request);
    text_.clear();
    std::size_t head = 0;
    while (head == 0) {
      receive();
      const auto end = text_.find("\r\n\r\n");
      head = end == std::string::npos ? 0 : end + 4;
    }
    const std::string_view top{text_.data(), head};
    std::size_t length = 0;
    constexpr std::string_view name = "\r\nContent-Length: ";
    if (const auto at = top.find(name); at != std::string_view::npos)
      std::from_chars(top.data() + at + name.size(), top.data() + head, length);
    last_ = top.find("\r\nConnection: close\r\n") != std::string_view::npos;
    while (text_.size() < head + length)
      receive();
    if (!text_.starts_with("HTTP/1.1 2"))
      fail("answered with " + text_);
    return std::string_view{text_}.substr(head);
  }

  bool last() const { return last_; } ///< the server closes it after that answer
  bool resumed() const { return ssl_ && SSL_session_reused(ssl_.get()) == 1; }
  tls_ticket ticket() const {
    return {ssl_ ? SSL_get1_session(ssl_.get()) : nullptr, &SSL_SESSION_free};
  }

private:
  void connect_tcp(int port) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0
        || ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
      fail(std::string{"no connection: "} + std::strerror(errno));
  }

  void connect_unix(const std::string& path) {
    socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    path.copy(to.sun_path, sizeof to.sun_path - 1);
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      fail(std::string{"no connection: "} + std::strerror(errno));
  }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto sent = ssl_ ? SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()))
                             : ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0)
        fail("the connection broke while a request was sent");
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  void receive() {
    const auto got = ssl_ ? SSL_read(ssl_.get(), space_.data(), static_cast<int>(space_.size()))
                          : ::recv(socket_, space_.data(), space_.size(), 0);
    if (got <= 0)
      fail("the connection ended within an answer");
    text_.append(space_.data(), static_cast<std::size_t>(got));
  }

  int socket_ = -1;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, &SSL_free};
  std::vector<char> space_ = std::vector<char>(64 * 1024);
  std::string text_;
  bool last_ = false;
};

/// A line that is made anew when the server has had enough of it.
class kept_line {
public:
  explicit kept_line(const place& to) : to_(to) {}
  std::string_view ask(std::string_view request) {
    if (!line_ || line_->last())
      line_ = std::make_unique<line>(to_, nullptr);
    return line_->ask(request);
  }

private:
  const place& to_;
  std::unique_ptr<line> line_;
};

std::string get(std::string_view path) {
  return "GET " + std::string{path} + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
}

std::string post(std::string_view path, std::string_view body) {
  return "POST " + std::string{path}
         + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
         + std::to_string(body.size()) + "\r\n\r\n" + std::string{body};
}

/// Runs it on so many threads; what one of them throws is thrown when all have ended.
void together(int threads, const std::function<void(int)>& what) {
  std::mutex guard;
  std::exception_ptr broken;
  {
    std::vector<std::jthread> all;
    all.reserve(static_cast<std::size_t>(threads));
    for (int i = 0; i < threads; ++i)
      all.emplace_back([&, i] {
        try {
          what(i);
        } catch (...) {
          const std::lock_guard lock{guard};
          broken = std::current_exception();
        }
      });
  }
  if (broken)
    std::rethrow_exception(broken);
}

double seconds_since(clock_type::time_point begun) {
  return std::chrono::duration<double>(clock_type::now() - begun).count();
}

/// Repeats it on each thread until the time is over; the time of each repetition counts.
void repeat(flags& given, const std::function<std::function<void()>(int)>& make) {
  const double limit = std::stod(given["--seconds"]);
  std::mutex guard;
  std::vector<double> took;
  const auto begun = clock_type::now();
  together(std::stoi(given["--connections"]), [&](int thread) {
    const auto once = make(thread);
    std::vector<double> mine;
    while (seconds_since(begun) < limit) {
      const auto asked = clock_type::now();
      once();
      mine.push_back(1000 * seconds_since(asked));
    }
    const std::lock_guard lock{guard};
    took.insert(took.end(), mine.begin(), mine.end());
  });
  const double seconds = seconds_since(begun);
  std::sort(took.begin(), took.end());
  const auto at = [&](double share) {
    const auto where = static_cast<std::size_t>(share * static_cast<double>(took.size()));
    return took.at(std::min(where, took.size() - 1));
  };
  std::printf("{\"count\":%zu,\"per_second\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n", took.size(),
              static_cast<double>(took.size()) / seconds, at(0.5), at(0.99));
}

void load(const place& to, flags& given) {
  std::string path = given["--get"];
  const bool numbered = path.ends_with('#');
  if (numbered)
    path.pop_back();
  const auto fixed =
      given.count("--post") != 0 ? post(given["--target"], given["--post"]) : get(path);
  repeat(given, [&](int thread) -> std::function<void()> {
    auto kept = std::make_shared<kept_line>(to);
    if (!numbered)
      return [&, kept] { kept->ask(fixed); };
    const std::mt19937 seed{static_cast<unsigned>(thread)};
    return [&, kept, random = seed]() mutable {
      const auto id = std::uniform_int_distribution<>{1, stored_jobs}(random);
      kept->ask(get(path + std::to_string(id)));
    };
  });
}

void connect(const place& to, flags& given) {
  const auto request = get(given["--get"]);
  const bool resume = given["--resume"] == "1";
  repeat(given, [&](int) -> std::function<void()> {
    auto ticket = std::make_shared<tls_ticket>(nullptr, &SSL_SESSION_free);
    return [&, ticket] {
      line one{to, ticket->get()};
      if (*ticket && !one.resumed())
        fail("a session was not resumed");
      one.ask(request);
      if (resume)
        *ticket = one.ticket(); // those of TLS 1.3 come with the first answer
    };
  });
}

/// The next value of a member that is a text, from `at` on, which moves behind it; empty: no more.
std::string_view next_text(std::string_view json, std::string_view member, std::size_t& at) {
  const auto key = '"' + std::string{member} + "\":\"";
  const auto begin = json.find(key, at);
  if (begin == std::string_view::npos)
    return {};
  const auto end = json.find('"', begin + key.size());
  at = end;
  return json.substr(begin + key.size(), end - begin - key.size());
}

int count_of(std::string_view text, std::string_view part) {
  int count = 0;
  for (auto at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1))
    ++count;
  return count;
}

/// A claim's jobs as the outcomes of a finish.
std::string outcomes_of(std::string_view claimed, int& count) {
  std::string out;
  std::size_t at = 0;
  for (count = 0;; ++count) {
    const auto id = next_text(claimed, "id", at);
    if (id.empty())
      return out;
    const auto lease = next_text(claimed, "lease", at);
    out += (count == 0 ? "" : ",") + std::string{R"({"lease":")"} + std::string{lease}
           + R"(","job":")" + std::string{id}
           + R"(","attempt":1,"outcome":"completed","result":null})";
  }
}

void work(const place& to, flags& given) {
  const int jobs = std::stoi(given["--jobs"]);
  const auto queue = given["--queue"];
  std::atomic<int> done{0};
  std::atomic<double> until{0};
  const auto begun = clock_type::now();
  together(std::stoi(given["--connections"]), [&](int thread) {
    kept_line line{to};
    // With the longest lease no run of the benchmark needs a heartbeat.
    const auto hello = R"({"name":"w)" + std::to_string(thread) + R"(","queues":[")" + queue
                       + R"("],"kinds":["noop"],"slots":1000,"lease_ms":600000})";
    std::size_t at = 0;
    const std::string session{next_text(line.ask(post("/api/v1/work/join", hello)), "session", at)};
    const auto mine = R"({"session":")" + session + '"';
    const auto claim =
        post("/api/v1/work/claim", mine + R"(,"queues":[")" + queue + R"("],"limit":)"
                                       + given["--batch"] + R"(,"wait_ms":100})");
    while (done < jobs) {
      int count = 0;
      const auto outcomes = outcomes_of(line.ask(claim), count);
      if (count == 0)
        continue;
      auto body = mine + R"(,"outcomes":[)";
      body += outcomes;
      body += "]}";
      const auto told = line.ask(post("/api/v1/work/finish", body));
      if (count_of(told, R"("status":"done")") != count)
        fail("outcomes were refused: " + std::string{told});
      if ((done += count) >= jobs)
        until = seconds_since(begun);
    }
    line.ask(post("/api/v1/work/leave", mine + '}'));
  });
  std::printf("{\"count\":%d,\"per_second\":%.1f}\n", done.load(), done / until.load());
}

} // namespace

int main(int argc, char** argv) {
  flags given = {
      {"--connections", "1"},       {"--seconds", "1"},  {"--get", "/livez"}, {"--batch", "1"},
      {"--target", "/api/v1/jobs"}, {"--queue", "work"}, {"--jobs", "1"},     {"--port", "0"}};
  for (int i = 1; i + 1 < argc; i += 2)
    given[argv[i]] = argv[i + 1];
  try {
    place to{std::stoi(given["--port"]), given["--unix"], {nullptr, &SSL_CTX_free}};
    if (given.count("--ca-file") != 0) {
      to.tls.reset(SSL_CTX_new(TLS_client_method()));
      if (to.tls == nullptr
          || SSL_CTX_load_verify_file(to.tls.get(), given["--ca-file"].c_str()) != 1)
        fail("the authority cannot be read");
      SSL_CTX_set_verify(to.tls.get(), SSL_VERIFY_PEER, nullptr);
    }
    const auto& mode = given["--mode"];
    if (mode == "load")
      load(to, given);
    else if (mode == "connect")
      connect(to, given);
    else if (mode == "work")
      work(to, given);
    else
      fail("--mode is load, connect or work");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "requests: %s\n", error.what());
    return 1;
  }
}
