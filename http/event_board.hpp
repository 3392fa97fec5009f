// Events of one node: who listens to what, what is the case, and what each was told. A stream is
// told what is another than what it knows, so changes gather while it does not read, and nothing is
// kept for it. One look at all watched jobs and one at all queues serve every stream; without
// streams nothing is asked. Knows no sockets and no clock: time comes by tick(), text goes by
// text_source. One thread's, where `post` brings answers to.
#pragma once

#include "http/event_id.hpp"
#include "http/identity.hpp"
#include "http/message.hpp"
#include "http/requester.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace troupe::http {

struct event_limits {
  using ms = std::chrono::milliseconds;
  std::size_t streams = 1'024;   ///< at once; above: 503
  std::size_t of_token = 512;    ///< of these; above: 429
  std::size_t jobs = 10'000;     ///< that all of them watch; above: 503
  std::size_t looked_at = 4'000; ///< jobs at one tick; where there are more, they take turns
  std::size_t lookups = 64;      ///< jobs and pages of logs that are asked for at once; others wait
  std::size_t piece = 64 * 1024; ///< bytes; when so many are there, the rest comes afterwards
  int log_lines = 100;           ///< in one question
  ms queue_look{1'000};          ///< how often queues are looked at; jobs are at each tick
  ms heartbeat{15'000};          ///< a comment after so long without an event
  ms token_look{2'000};          ///< how often it is asked whether a token is still live
  /// Without that answer nothing more is told, until there is one.
  ms token_trust{3'000};
};

/// The head of a stream, as HEAD has it.
response event_stream_head();

class event_board : public std::enable_shared_from_this<event_board> {
public:
  using clock = std::chrono::steady_clock;
  using task = std::function<void()>;

  /// `post` carries a task out on the board's thread, later. `token_changes` outlives the board; it
  /// changes whenever a token may have been revoked.
  event_board(std::shared_ptr<requester> ask, std::function<void(task)> post,
              const std::atomic<std::uint64_t>& token_changes, const event_limits& limits = {})
      : ask_(std::move(ask)), post_(std::move(post)), token_changes_(token_changes),
        limits_(limits) {}
  event_board(const event_board&) = delete;
  event_board& operator=(const event_board&) = delete;

  struct wish {
    event_subject subject;
    std::optional<event_position> told; ///< of Last-Event-ID
    identity_ptr who;
    std::string token; ///< the hash of what `who` showed; empty: nobody was asked
  };
  /// Answers with a stream once the first state is known, or with 204 (all was told), 403, 404,
  /// 429 or 503.
  void open(wish what, responder respond, clock::time_point now);
  /// Several times a second.
  void tick(clock::time_point now);
  /// Ends all streams, and lets no further one begin.
  void close();
  std::size_t streams() const { return streams_.size(); }

private:
  class source;
  using number = std::uint64_t;
  /// A job that somebody watches.
  struct watched {
    explicit watched(job_id which) : id(which) {}
    job_id id;
    std::optional<std::int64_t> mark; ///< as the database says; none: to be looked up again
    std::uint64_t look = 0;           ///< the last one that was answered
    bool seen = false;                ///< whether what follows holds
    bool there = false;
    bool wanted = false; ///< it is another now, and stands in line to be looked up
    unsigned asking = 0; ///< lookups under way
    bool ended = false;  ///< as the last look says
    bool final = false;  ///< as the last lookup says, which may be older or newer
    std::int64_t last_line = 0;
    std::string queue;
    std::string text; ///< JSON
    std::uint64_t digest = 0;
    std::string state;
    std::vector<number> watchers;
    std::set<std::int64_t> pages; ///< behind these numbers lines are being asked for
    /// What is shown may be older than what the last look saw.
    bool stale() const { return wanted || asking > 0 || !mark; }
  };
  using watched_ptr = std::shared_ptr<watched>;
  struct queue_state {
    std::string text;
    std::uint64_t digest = 0;
  };
  struct stream {
    wish asked;
    std::vector<watched_ptr> jobs;
    std::vector<told_job> told;
    std::map<std::string, std::uint64_t> queues;   ///< as told
    std::uint64_t whole = 0;                       ///< of these
    std::uint64_t round = 0;                       ///< of looks at queues: all of it was told
    responder respond;                             ///< until the first answer
    std::function<void(text_source::piece)> reply; ///< until the next piece
    std::uint64_t look = 0;                        ///< the last one before it
    bool back = false;                             ///< it was there before: what is gone was there
    bool begun = false;
    bool done = false;
    bool over = false; ///< nothing follows but `last`
    std::string last;
    bool away_told = false; ///< that the database does not answer
    clock::time_point quiet_since;
    clock::time_point trusted; ///< when the token was live
    bool checked = false;
  };

  void ask(api_request request, std::function<void(const api_reply&)> then);
  void settle(number which);
  void settle(const std::vector<number>& which);
  std::vector<number> all() const;
  bool known(const stream& of) const;
  bool fresh(const stream& of) const;
  std::optional<response> refusal(const stream& of) const;
  void begin(number which, stream& of);
  void next(number which, std::function<void(text_source::piece)> reply);
  void remove(number which);
  void finish(number which, stream& of, std::string_view comment);
  void give(stream& of, std::string piece);
  void unavailable(const failure& why, bool jobs);
  void answered();

  std::string gather(stream& of);
  void gather_jobs(stream& of, std::string& out, bool& left);
  void gather_queues(stream& of, std::string& out, bool& left);
  void resolve(stream& of) const;
  bool trusted(const stream& of) const;
  std::string id_of(const stream& of) const;
  void event(std::string& out, std::string_view name, const stream& of,
             std::string_view data) const;

  void look_at_jobs();
  void seen(std::uint64_t look, const std::vector<watched_ptr>& asked, const api_reply& reply);
  void want_job(const watched_ptr& of);
  void want_page(const watched_ptr& of, std::int64_t after);
  void pump();
  void on_job(const watched_ptr& of, const api_reply& reply);
  void on_page(const watched_ptr& of, std::int64_t after, std::int64_t last,
               const api_reply& reply);
  void tell_lines(const watched& of, stream& to, std::int64_t after, std::int64_t last,
                  const log_page& page);
  void look_at_queues(std::string after);
  void queues_seen();
  void look_at_tokens();
  void on_token(const std::string& hash, clock::time_point asked, const api_reply& reply);

  std::shared_ptr<requester> ask_;
  std::function<void(task)> post_;
  const std::atomic<std::uint64_t>& token_changes_;
  event_limits limits_;
  clock::time_point now_;
  bool closed_ = false;
  bool away_ = false; ///< the last look failed
  number last_ = 0;
  std::unordered_map<number, stream> streams_;

  std::map<job_id, watched_ptr> jobs_;
  std::uint64_t look_ = 0; ///< at jobs, the last one
  std::size_t looks_ = 0;  ///< questions of it that are under way
  job_id last_looked_at_;
  std::deque<std::pair<watched_ptr, std::optional<std::int64_t>>> wanted_;
  std::size_t lookups_ = 0; ///< under way

  std::size_t listeners_ = 0; ///< to queues
  bool queue_look_ = false;   ///< under way
  std::optional<clock::time_point> queues_asked_;
  std::map<std::string, queue_state> gathering_;
  std::map<std::string, queue_state> queues_;
  std::uint64_t round_ = 0;          ///< 0: not known
  std::vector<std::string> changed_; ///< by the last round

  std::uint64_t token_turn_ = 0;
  std::optional<clock::time_point> tokens_asked_;
  std::set<std::string> tokens_asking_;
};

} // namespace troupe::http
