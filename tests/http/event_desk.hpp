// An engine with jobs, logs, queues and tokens that a test changes, a board over it, and clients of
// that board, all without sockets and with the time that the test says.
#pragma once

#include "http/event_board.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe::tests {

using http::event_board;
using http::event_subject;

struct told_event {
  std::string name;
  std::string id;
  std::string data;
};

/// The events of a text, and its comments without an id.
inline std::vector<told_event> read_events(std::string_view text) {
  std::vector<told_event> out;
  while (!text.empty()) {
    const auto end = text.find("\n\n");
    BOOST_REQUIRE(end != std::string_view::npos); // events are sent whole
    told_event one;
    for (auto rest = text.substr(0, end); !rest.empty();) {
      const auto line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      const auto colon = line.find(": ");
      const auto value = std::string{line.substr(colon + 2)};
      const auto field = line.substr(0, colon);
      (field == "event" ? one.name : field == "id" ? one.id : one.data) = value;
    }
    out.push_back(std::move(one));
    text.remove_prefix(end + 2);
  }
  return out;
}

/// Of these the names, with blanks between them.
inline std::string names_of(const std::string& text) {
  std::string out;
  for (const auto& one : read_events(text))
    if (!one.name.empty())
      out += (out.empty() ? "" : " ") + one.name;
  return out;
}

/// Of an event's data: the text of a member that is a text.
inline std::string text_member(const std::string& data, const std::string& name) {
  const auto at = data.find('"' + name + "\":\"");
  if (at == std::string::npos)
    return {};
  const auto begin = at + name.size() + 4;
  return data.substr(begin, data.find('"', begin) - begin);
}

class event_engine : public http::requester {
public:
  struct kept_job {
    job_record record;
    std::int64_t mark = 1;
    std::vector<log_line> lines;
    bool ended() const {
      return record.state == job_state::completed || record.state == job_state::cancelled;
    }
    std::int64_t last_line() const { return lines.empty() ? 0 : lines.back().number; }
  };

  kept_job& job(std::int64_t id) {
    auto& one = jobs[id];
    one.record.id = job_id{id};
    if (one.record.queue.empty()) {
      one.record.queue = "default";
      one.record.kind = "echo";
      one.record.state = job_state::available;
    }
    return one;
  }
  void set(std::int64_t id, job_state state) {
    job(id).record.state = state;
    ++job(id).mark;
  }
  void say(std::int64_t id, const std::string& text) {
    job(id).lines.push_back({++numbers, timestamp{}, 1, line_level::info, text});
  }

  void ask(api_request request, std::function<void(api_reply)> reply) override {
    asked.push_back(request);
    if (away)
      reply(failure{errc::unavailable, "away"});
    else
      reply(answer(request));
  }
  template<class Question>
  std::size_t count() const {
    return static_cast<std::size_t>(std::count_if(asked.begin(), asked.end(), [](const auto& one) {
      return std::holds_alternative<Question>(one);
    }));
  }

  std::map<std::int64_t, kept_job> jobs;
  std::map<std::string, queue_record> queues;
  std::map<std::string, token_standing> tokens;
  std::vector<api_request> asked;
  std::int64_t numbers = 0;
  bool away = false;

private:
  api_reply answer(const api_request& request) {
    if (const auto* watch = std::get_if<watch_jobs>(&request)) {
      job_sights out;
      for (const auto& known : watch->jobs) {
        const auto found = jobs.find(known.id.value);
        job_sight now{known.id};
        if (found != jobs.end())
          now = {known.id, found->second.mark, found->second.last_line(), found->second.ended()};
        if (known.mark != now.mark || known.last_line != now.last_line)
          out.jobs.push_back(now);
      }
      return out;
    }
    if (const auto* get = std::get_if<get_job>(&request)) {
      const auto found = jobs.find(get->id.value);
      if (found == jobs.end())
        return failure{errc::not_found, "no such job"};
      return found->second.record;
    }
    if (const auto* log = std::get_if<get_log>(&request)) {
      log_page page;
      for (const auto& line : jobs[log->id.value].lines)
        if (line.number > log->after && std::ssize(page.lines) < log->limit)
          page.lines.push_back(line);
      return page;
    }
    if (const auto* list = std::get_if<list_queues>(&request)) {
      queue_page page;
      for (const auto& [name, queue] : queues) {
        if (name <= list->after)
          continue;
        if (std::ssize(page.queues) == list->limit) {
          page.next = page.queues.back().name;
          break;
        }
        page.queues.push_back(queue);
      }
      return page;
    }
    if (const auto* token = std::get_if<find_token>(&request)) {
      found_token out;
      out.standing = tokens[token->hash];
      return out;
    }
    return failure{errc::internal, "not asked for"};
  }
};

struct event_desk {
  std::shared_ptr<event_engine> engine = std::make_shared<event_engine>();
  std::deque<event_board::task> tasks;
  std::atomic<std::uint64_t> turn{0};
  http::event_limits limits;
  std::shared_ptr<event_board> board;
  std::size_t patience = std::numeric_limits<std::size_t>::max(); ///< answers that come at a time
  event_board::clock::time_point now{std::chrono::hours{1}};

  explicit event_desk(const http::event_limits& most = {}) : limits(most) {
    board = std::make_shared<event_board>(
        engine, [this](event_board::task what) { tasks.push_back(std::move(what)); }, turn, limits);
  }
  ~event_desk() { board.reset(); }
  event_desk(const event_desk&) = delete;
  event_desk& operator=(const event_desk&) = delete;

  void work() {
    for (auto left = patience; left > 0 && !tasks.empty(); --left) {
      const auto next = std::move(tasks.front());
      tasks.pop_front();
      next();
    }
  }
  void tick(std::chrono::milliseconds later = std::chrono::milliseconds{250}) {
    now += later;
    board->tick(now);
    work();
  }
};

/// Somebody at the other end; reads when told to.
class event_client {
public:
  event_client(event_desk& at, event_subject subject) : at_(at), subject_(std::move(subject)) {}

  void open(http::identity_ptr who = {}, const std::string& token = {}) {
    source_.reset();
    waiting_ = false;
    status = 0;
    event_board::wish what{subject_, {}, std::move(who), token};
    if (!last_id.empty()) {
      what.told = http::read_event_id(last_id, subject_);
      BOOST_REQUIRE(what.told.has_value());
    }
    at_.board->open(
        std::move(what),
        [this](http::response answer) {
          status = answer.status;
          fault = answer.fault ? answer.fault->detail : std::string{};
          source_ = std::move(answer.stream);
        },
        at_.now);
    at_.work();
  }
  /// Asks for the next piece; true while one is awaited.
  void ask() {
    if (!source_ || waiting_ || piece_)
      return;
    waiting_ = true;
    source_->next([this, turn = ++turn_](text_source::piece got) {
      if (turn != turn_)
        return;
      waiting_ = false;
      piece_ = std::get<std::optional<std::string>>(got);
      if (!piece_)
        source_.reset(); // the end
    });
    at_.work();
  }
  /// What came; nothing is taken as long as nobody calls this.
  std::optional<std::string> take() { return std::exchange(piece_, std::nullopt); }
  /// Reads all that there is.
  std::string read() {
    std::string out;
    for (;;) {
      ask();
      auto some = take();
      if (!some)
        return out;
      out += *some;
    }
  }
  void leave() {
    ++turn_;
    waiting_ = false;
    piece_.reset();
    source_.reset();
    at_.work();
  }
  bool connected() const { return source_ != nullptr; }

  int status = 0;
  std::string fault;
  std::string last_id;

private:
  event_desk& at_;
  event_subject subject_;
  std::shared_ptr<text_source> source_;
  std::optional<std::string> piece_;
  bool waiting_ = false;
  int turn_ = 0;
};

inline event_subject of_jobs(std::vector<std::int64_t> ids) {
  event_subject out;
  for (const auto id : ids)
    out.jobs.push_back(job_id{id});
  return out;
}

} // namespace troupe::tests
