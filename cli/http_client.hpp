// One HTTP exchange at a time with a Troupe server, by libcurl. Bounded: the answer's bytes and the
// time for one request. With https the server's certificate and name are always verified. A server
// that has done nothing and says when to come again is asked again then, within the same time.
#pragma once

#include "cli/client_settings.hpp"
#include "cli/exit_code.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::cli {

struct http_answer {
  long status = 0;
  std::string body{};
  std::chrono::seconds retry_after{0}; ///< 0: not said
};

/// Of a download: what came before it is of no use alone.
class cut_off : public command_error {
public:
  using command_error::command_error;
};

class http_client {
public:
  /// Of a download. Longer than a server looks for the next job that a filter wants.
  static constexpr std::chrono::minutes longest_silence{12};
  static constexpr std::size_t answer_bytes = 256UL * 1024 * 1024;

  explicit http_client(client_settings server);
  ~http_client();
  http_client(const http_client&) = delete;
  http_client& operator=(const http_client&) = delete;

  /// Sent with every request that has a body.
  void add_header(const std::string& name, const std::string& value);
  /// Gives up a request within a second of the flag being set; send throws (interrupted) then.
  void abort_when(const std::atomic<bool>& flag);
  /// So long the command has, from now on: a server that asks for patience gets none beyond it.
  void give_up_after(std::chrono::duration<double> limit);
  /// Any answer, also one that says what is wrong. Throws command_error: nobody answers
  /// (unavailable), not in time (timed_out), a certificate that is not to be trusted (failed).
  http_answer send(const char* method, const std::string& path,
                   const std::optional<std::string>& body = std::nullopt);
  /// The same; throws command_error with the server's words unless the status is below 400.
  http_answer request(const char* method, const std::string& path,
                      const std::optional<std::string>& body = std::nullopt);

  /// GET of what may be large: a body with status 200 goes to `take` as it comes, whatever time
  /// that needs, unless nothing comes for longest_silence. Throws command_error as request() does,
  /// and cut_off when the answer is not whole. With an `offset` the bytes from there on, of the
  /// file with this ETag; command_error (failed) if it is another by now.
  struct part {
    std::int64_t offset = 0;
    std::string etag;
  };
  void download(const std::string& path, const std::function<void(std::string_view)>& take,
                const part& from);
  void download(const std::string& path, const std::function<void(std::string_view)>& take) {
    download(path, take, {});
  }

  /// The text as a query's value.
  static std::string escaped(std::string_view text);

private:
  void set_up(const std::string& path, const char* method, char* why);
  http_answer send_once(const char* method, const std::string& path,
                        const std::optional<std::string>& body, std::chrono::milliseconds limit);
  http_answer download_once(const std::string& path,
                            const std::function<void(std::string_view)>& take, const part& from);
  std::chrono::steady_clock::time_point end_of_patience() const;
  bool wait_as_asked(const http_answer& answer, std::chrono::steady_clock::time_point end) const;

  struct state;
  std::unique_ptr<state> state_;
};

/// What an error answer says, as text for a person: the detail, each field at fault, and how long
/// the server asks to wait.
std::string problem_text(const http_answer& answer);
/// ok below 400. By the status, but where the problem's code knows better.
exit_code exit_code_of_answer(const http_answer& answer);
/// How long to wait before the same request makes sense: the server has done nothing of it, and
/// says so. 0: it is not to be repeated.
std::chrono::seconds asked_patience(const http_answer& answer);
/// Its `code`; empty when the answer is none of Troupe's problems.
std::string problem_code(const http_answer& answer);

} // namespace troupe::cli
