// A TCP relay on loopback in front of a server's socket, with the faults that a network has: it
// swallows, it cuts, it loses an answer. One thread; at most max_links connections at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace troupe::tests {

class chaos_proxy {
public:
  static constexpr std::size_t max_links = 64;

  explicit chaos_proxy(std::string socket_path);
  chaos_proxy(const chaos_proxy&) = delete;
  chaos_proxy& operator=(const chaos_proxy&) = delete;
  ~chaos_proxy();

  /// postgresql://postgres@127.0.0.1:PORT/DATABASE
  std::string url(const std::string& database) const;
  /// Bytes disappear in both directions, connections stay open, new ones are taken and stay silent.
  /// What came meanwhile is lost for good: links of that time stay silent after the end.
  void swallow(bool on);
  /// The same for the link on which a client sends bytes that contain `needle`, and for it alone.
  void swallow_from(std::string needle);
  /// Resets every connection.
  void cut();
  /// The next time a client sends bytes that contain `needle`, the server gets them, and the client
  /// is reset in place of the answer.
  void lose_answer_to(std::string needle);
  /// How often an answer was lost.
  int lost_answers() const { return lost_answers_.load(); }

private:
  struct link {
    int client = -1;
    int server = -1;
    bool silent = false;
    bool doomed = false; ///< reset when the server answers
  };
  void run();
  void accept_one();
  /// False when the link is over.
  bool relay(link& over, bool from_client);
  void drop(link& over);
  void wake() const;

  std::string socket_path_;
  int listener_ = -1;
  int wake_[2] = {-1, -1};
  std::uint16_t port_ = 0;
  std::vector<link> links_;
  std::atomic<bool> swallowing_{false};
  std::atomic<bool> cutting_{false};
  std::atomic<bool> ending_{false};
  std::atomic<int> lost_answers_{0};
  std::mutex guard_;
  std::string needle_;  ///< of lose_answer_to
  std::string silence_; ///< of swallow_from
  std::thread thread_;
};

} // namespace troupe::tests
