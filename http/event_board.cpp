// See event_board.hpp: streams, and what is asked of the engine about jobs and tokens. Queues, and
// what is told, are in event_telling.cpp.
#include "http/event_board.hpp"

#include "http/answer_way.hpp"
#include "http/job_answers.hpp"
#include "http/json.hpp"
#include "http/route_answers.hpp"
#include "messages/utf8.hpp"

#include <algorithm>

namespace troupe::http {

namespace {

/// What is shown of a job: all but its args and its retry policy, which its runs do not change.
/// Lists of attempts may be long, so the last two: one that has ended, and the one that runs.
constexpr std::size_t shown_attempts = 2;
/// Above, results are left out and errors are cut: every watched job has such a text in memory.
constexpr std::size_t shown_bytes = 16 * 1024;
constexpr std::size_t shown_error = 1024;

chosen_fields shown_fields() {
  auto out = chosen_fields::none();
  const auto names = job_fields(true);
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] != "args" && names[i] != "retry")
      out.add(i);
  return out;
}

std::string shown(job_record job) {
  if (job.attempts.size() > shown_attempts)
    job.attempts.erase(job.attempts.begin(), job.attempts.end() - shown_attempts);
  std::string out;
  append_job(out, job, true, shown_fields());
  if (out.size() <= shown_bytes)
    return out;
  for (auto& attempt : job.attempts) {
    attempt.result.clear();
    attempt.error = std::string{cut_utf8(attempt.error, shown_error)};
  }
  out.clear();
  append_job(out, job, true, shown_fields());
  return out;
}

} // namespace

/// Belongs to the connection; what it is told comes from the board.
class event_board::source final : public text_source {
public:
  source(std::weak_ptr<event_board> of, number which) : board_(std::move(of)), number_(which) {}
  source(const source&) = delete;
  source& operator=(const source&) = delete;
  ~source() override {
    if (const auto board = board_.lock())
      board->remove(number_);
  }
  void next(std::function<void(piece)> reply) override {
    if (const auto board = board_.lock())
      board->next(number_, std::move(reply));
  }

private:
  std::weak_ptr<event_board> board_;
  number number_;
};

void event_board::ask(api_request request, std::function<void(const api_reply&)> then) {
  auto way = std::make_shared<answer_way>(
      [post = post_, weak = weak_from_this(), then = std::move(then)](api_reply reply) {
        post([weak, then, reply = std::make_shared<api_reply>(std::move(reply))] {
          if (const auto board = weak.lock())
            then(*reply);
        });
      });
  ask_->ask(std::move(request), [way](api_reply reply) { way->give(std::move(reply)); });
}

// -- streams ------------------------------------------------------------------------------------

void event_board::open(wish what, responder respond, clock::time_point now) {
  now_ = now;
  const auto refuse = [&](errc code, std::string why) {
    respond(problem_response(to_problem({code, std::move(why)})));
  };
  if (closed_)
    return refuse(errc::stopping, "this node is stopping: ask another one");
  if (streams_.size() >= limits_.streams)
    return refuse(errc::overloaded, "there are " + std::to_string(limits_.streams)
                                        + " event streams already; try again, or another node");
  const auto same = [&](const auto& other) {
    return other.second.asked.who && other.second.asked.who->id == what.who->id;
  };
  if (what.who
      && static_cast<std::size_t>(std::count_if(streams_.begin(), streams_.end(), same))
             >= limits_.of_token)
    return respond(problem_response(make_problem(
        429, "too_many_streams",
        "the token " + what.who->name + " has " + std::to_string(limits_.of_token)
            + " event streams already; end some, or watch several jobs or queues by one")));
  const auto unwatched = std::count_if(what.subject.jobs.begin(), what.subject.jobs.end(),
                                       [this](job_id id) { return !jobs_.contains(id); });
  if (jobs_.size() + static_cast<std::size_t>(unwatched) > limits_.jobs)
    return refuse(errc::overloaded, std::to_string(limits_.jobs)
                                        + " jobs are watched already; try again, or another node");
  const auto which = ++last_;
  auto& to = streams_[which];
  to.asked = std::move(what);
  to.respond = std::move(respond);
  to.quiet_since = to.trusted = now;
  to.look = look_;
  for (const auto id : to.asked.subject.jobs) {
    auto& job = jobs_[id];
    if (!job)
      job = std::make_shared<watched>(id);
    job->watchers.push_back(which);
    to.jobs.push_back(job);
  }
  to.told.resize(to.jobs.size());
  if (to.asked.told && !to.jobs.empty()) {
    to.told = to.asked.told->jobs;
    to.done = to.asked.told->done;
    to.back = true;
    to.asked.told.reset();
  }
  if (to.jobs.empty())
    ++listeners_;
  settle(which);
}

void event_board::remove(number which) {
  const auto found = streams_.find(which);
  if (found == streams_.end())
    return;
  const auto gone = std::move(found->second);
  streams_.erase(found);
  for (const auto& job : gone.jobs) {
    std::erase(job->watchers, which);
    if (job->watchers.empty())
      jobs_.erase(job->id);
  }
  if (!gone.jobs.empty() || --listeners_ > 0)
    return;
  queues_.clear(); // nobody looks any more: it does not hold
  changed_.clear();
  queues_asked_.reset();
  round_ = 0;
}

std::vector<event_board::number> event_board::all() const {
  std::vector<number> out;
  out.reserve(streams_.size());
  for (const auto& [which, one] : streams_)
    out.push_back(which);
  return out;
}

void event_board::settle(const std::vector<number>& which) {
  for (const auto one : which)
    settle(one);
}

bool event_board::known(const stream& of) const {
  if (of.jobs.empty())
    return round_ > 0;
  return std::all_of(of.jobs.begin(), of.jobs.end(), [](const auto& job) { return job->seen; });
}

/// Its jobs were looked at since it was asked for, and what is known of them is as new.
bool event_board::fresh(const stream& of) const {
  return std::all_of(of.jobs.begin(), of.jobs.end(),
                     [&](const auto& job) { return job->look > of.look && !job->stale(); });
}

/// What to say instead of a stream. Of one that comes back a job may be gone, also untold.
std::optional<response> event_board::refusal(const stream& of) const {
  bool all_told = of.done;
  for (std::size_t i = 0; i < of.jobs.size(); ++i) {
    const auto& job = *of.jobs[i];
    const auto& told = of.told[i];
    if (!job.there && told.digest == 0 && !of.back)
      return not_a_job(std::to_string(job.id.value));
    if (job.there && !covers(of.asked.who.get(), job.queue))
      return outside_scope(of.asked.who->name, job.queue);
    if (job.stale() || (job.there && (told.digest != job.digest || told.last_line < job.last_line)))
      all_told = false;
  }
  if (!all_told)
    return std::nullopt;
  response nothing_more;
  nothing_more.status = 204;
  return nothing_more;
}

void event_board::begin(number which, stream& of) {
  auto refused = refusal(of);
  if (refused && !fresh(of))
    return; // it may have changed before it was asked for, and whoever is refused does not come
            // back
  const auto respond = std::exchange(of.respond, nullptr);
  if (refused) {
    remove(which);
    return respond(*std::move(refused));
  }
  of.done = false;
  auto answer = event_stream_head();
  answer.stream = std::make_shared<source>(weak_from_this(), which);
  respond(std::move(answer));
}

response event_stream_head() {
  response out;
  out.content_type = "text/event-stream";
  out.streamed = true;
  out.more_fields = "X-Accel-Buffering: no\r\n"; // a proxy is to pass on each event at once
  return out;
}

void event_board::next(number which, std::function<void(text_source::piece)> reply) {
  const auto found = streams_.find(which);
  if (found == streams_.end())
    return reply(std::optional<std::string>{});
  auto& to = found->second;
  if (to.over && to.last.empty())
    return reply(std::optional<std::string>{});
  to.reply = std::move(reply);
  settle(which);
}

void event_board::settle(number which) {
  const auto found = streams_.find(which);
  if (found == streams_.end())
    return;
  auto& to = found->second;
  if (to.respond) {
    if (known(to))
      begin(which, to);
    return;
  }
  if (!to.reply)
    return;
  auto piece = to.over ? std::exchange(to.last, {}) : gather(to);
  if (!piece.empty())
    give(to, std::move(piece));
}

void event_board::give(stream& of, std::string piece) {
  of.quiet_since = now_;
  std::exchange(of.reply, nullptr)(std::optional{std::move(piece)});
}

void event_board::finish(number which, stream& of, std::string_view comment) {
  if (of.respond) {
    const auto respond = std::exchange(of.respond, nullptr);
    remove(which);
    return respond(problem_response(to_problem({errc::stopping, std::string{comment}})));
  }
  if (of.over)
    return;
  of.over = true;
  of.last = ": " + std::string{comment} + "\n\n";
  settle(which);
}

void event_board::close() {
  closed_ = true;
  for (const auto which : all())
    finish(which, streams_.at(which), "this node is stopping: ask another one");
}

void event_board::tick(clock::time_point now) {
  now_ = now;
  if (streams_.empty())
    return;
  look_at_jobs();
  if (listeners_ > 0 && !queue_look_
      && (!queues_asked_ || now - *queues_asked_ >= limits_.queue_look)) {
    queues_asked_ = now;
    queue_look_ = true;
    gathering_.clear();
    look_at_queues({});
  }
  look_at_tokens();
  for (const auto which : all()) {
    settle(which);
    const auto found = streams_.find(which);
    if (found != streams_.end() && found->second.reply
        && now - found->second.quiet_since >= limits_.heartbeat)
      give(found->second, ": still here\n\n");
  }
}

/// Those that wait for their first state are told so; the others go on when it is over.
void event_board::unavailable(const failure& why, bool jobs) {
  away_ = true;
  for (const auto which : all()) {
    auto& to = streams_.at(which);
    if (to.jobs.empty() == jobs)
      continue;
    if (to.respond) { // also when others know its jobs: it waits for a newer look
      const auto respond = std::exchange(to.respond, nullptr);
      remove(which);
      respond(problem_response(to_problem(why)));
    } else if (to.reply && !std::exchange(to.away_told, true)) {
      give(to, ": database unavailable\n\n");
    }
  }
}

void event_board::answered() {
  if (!std::exchange(away_, false))
    return;
  for (auto& [which, one] : streams_)
    one.away_told = false;
}

// -- jobs ---------------------------------------------------------------------------------------

void event_board::look_at_jobs() {
  if (looks_ > 0)
    return;
  ++look_;
  std::vector<watched_ptr> asked;
  watch_jobs question;
  const auto send = [&] {
    ++looks_;
    ask(std::exchange(question, {}), [this, look = look_, asked = std::exchange(asked, {})](
                                         const api_reply& reply) { seen(look, asked, reply); });
  };
  auto next = jobs_.upper_bound(last_looked_at_);
  for (auto left = std::min(jobs_.size(), limits_.looked_at); left > 0; --left, ++next) {
    if (next == jobs_.end())
      next = jobs_.begin();
    const auto& [id, job] = *next;
    last_looked_at_ = id;
    question.jobs.push_back({id, job->mark, job->last_line});
    asked.push_back(job);
    if (question.jobs.size() == watch_jobs::most)
      send();
  }
  if (!question.jobs.empty())
    send();
}

void event_board::seen(std::uint64_t look, const std::vector<watched_ptr>& asked,
                       const api_reply& reply) {
  --looks_;
  const auto* sights = std::get_if<job_sights>(&reply);
  if (sights == nullptr) {
    const auto* failed = std::get_if<failure>(&reply);
    return unavailable(failed != nullptr ? *failed : failure{errc::internal, "another answer"},
                       true);
  }
  answered();
  std::unordered_map<job_id, const job_sight*> by_id;
  for (const auto& one : sights->jobs)
    by_id.emplace(one.id, &one);
  std::set<number> concerned; // each once, however many of its jobs are others
  for (const auto& job : asked) {
    job->look = look;
    const auto found = by_id.find(job->id);
    if (found == by_id.end())
      continue;
    const auto& sight = *found->second;
    job->last_line = sight.last_line;
    job->ended = sight.ended;
    const bool other = job->mark != sight.mark;
    job->mark = sight.mark;
    if (sight.mark == 0) {
      job->seen = true;
      job->there = false;
    } else if (other) {
      want_job(job);
    }
    concerned.insert(job->watchers.begin(), job->watchers.end());
  }
  for (const auto& [which, one] : streams_)
    if (one.respond)
      concerned.insert(which);
  settle(std::vector(concerned.begin(), concerned.end()));
  pump();
}

void event_board::want_job(const watched_ptr& of) {
  if (!std::exchange(of->wanted, true))
    wanted_.emplace_back(of, std::nullopt);
}

void event_board::want_page(const watched_ptr& of, std::int64_t after) {
  if (!of->pages.insert(after).second)
    return; // who waits for the same shares it
  wanted_.emplace_back(of, after);
  pump();
}

void event_board::pump() {
  while (lookups_ < limits_.lookups && !wanted_.empty()) {
    const auto [job, after] = std::move(wanted_.front());
    wanted_.pop_front();
    if (!after)
      job->wanted = false;
    if (job->watchers.empty())
      continue;
    ++lookups_;
    job->asking += after ? 0 : 1;
    if (after)
      ask(get_log{job->id, *after, limits_.log_lines},
          [this, job = job, after = *after, last = job->last_line](const api_reply& reply) {
            on_page(job, after, last, reply);
          });
    else
      ask(get_job{job->id, false},
          [this, job = job](const api_reply& reply) { on_job(job, reply); });
  }
}

void event_board::on_job(const watched_ptr& of, const api_reply& reply) {
  --lookups_;
  --of->asking;
  if (const auto* job = std::get_if<job_record>(&reply)) {
    if (of->mark == 0)
      return pump(); // read before it went
    of->seen = of->there = true;
    of->final = job->state == job_state::completed || job->state == job_state::cancelled
                || job->state == job_state::discarded;
    of->queue = job->queue;
    of->state = to_string(job->state);
    of->text = shown(*job);
    of->digest = event_digest(of->text);
    const auto watchers = of->watchers;
    settle(watchers);
  } else {
    of->mark.reset(); // the next look tells it again
    const auto* failed = std::get_if<failure>(&reply);
    if (failed != nullptr && failed->code != errc::not_found)
      unavailable(*failed, true);
  }
  pump();
}

void event_board::on_page(const watched_ptr& of, std::int64_t after, std::int64_t last,
                          const api_reply& reply) {
  --lookups_;
  of->pages.erase(after);
  if (const auto* page = std::get_if<log_page>(&reply)) {
    const auto watchers = of->watchers;
    for (const auto which : watchers)
      if (const auto found = streams_.find(which); found != streams_.end())
        tell_lines(*of, found->second, after, last, *page);
  }
  pump(); // of what failed the next tick asks again
}

// -- tokens -------------------------------------------------------------------------------------

void event_board::look_at_tokens() {
  const auto turn = token_changes_.load();
  const bool due =
      turn != token_turn_ || !tokens_asked_ || now_ - *tokens_asked_ >= limits_.token_look;
  std::set<std::string> hashes;
  for (auto& [which, one] : streams_)
    if (!one.asked.token.empty() && (due || !std::exchange(one.checked, true)))
      hashes.insert(one.asked.token);
  if (due)
    tokens_asked_ = now_;
  token_turn_ = turn;
  for (const auto& hash : hashes) {
    if (!tokens_asking_.insert(hash).second)
      continue; // the look after that hears of what came meanwhile
    ask(find_token{hash},
        [this, hash, asked = now_](const api_reply& reply) { on_token(hash, asked, reply); });
  }
}

void event_board::on_token(const std::string& hash, clock::time_point asked,
                           const api_reply& reply) {
  tokens_asking_.erase(hash);
  const auto* token = std::get_if<found_token>(&reply);
  const auto* failed = std::get_if<failure>(&reply);
  const bool live = token != nullptr && token->standing == token_standing::live;
  const bool dead =
      !live && (token != nullptr || (failed != nullptr && failed->code == errc::not_found));
  for (const auto which : all()) {
    const auto found = streams_.find(which);
    if (found == streams_.end() || found->second.asked.token != hash)
      continue;
    if (live)
      found->second.trusted = std::max(found->second.trusted, asked);
    else if (dead)
      finish(which, found->second, "this token is not live any more");
  }
}

} // namespace troupe::http
