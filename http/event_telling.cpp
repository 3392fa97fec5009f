// See event_board.hpp: what is another than a stream was told, as text.
#include "http/event_board.hpp"
#include "http/json.hpp"
#include "http/json_queue.hpp"

#include <algorithm>

namespace troupe::http {

namespace {

/// As told of a job that is not there any more. No state has this digest but by chance.
constexpr std::uint64_t gone = 0xffff'ffff'ffff;
/// What EventSource waits before it comes back. In milliseconds.
constexpr std::string_view greeting = "retry: 2000\n\n";

std::string about_job(job_id id) {
  return "{\"id\":\"" + std::to_string(id.value) + '"';
}

} // namespace

void event_board::event(std::string& out, std::string_view name, const stream& of,
                        std::string_view data) const {
  out += "event: ";
  out += name;
  out += "\nid: ";
  out += id_of(of);
  out += "\ndata: ";
  out += data;
  out += "\n\n";
}

std::string event_board::id_of(const stream& of) const {
  event_position out;
  out.done = of.done;
  out.jobs = of.told;
  if (of.queues.size() > event_bounds::subjects)
    out.whole = of.whole;
  else
    for (const auto& [name, digest] : of.queues)
      out.queues.push_back({event_name_hash(name), digest});
  return make_event_id(out, of.asked.subject);
}

bool event_board::trusted(const stream& of) const {
  return of.asked.token.empty() || now_ - of.trusted <= limits_.token_trust;
}

std::string event_board::gather(stream& of) {
  std::string out;
  if (!std::exchange(of.begun, true))
    out += greeting;
  if (!trusted(of))
    return out;
  const auto outside = std::find_if(of.jobs.begin(), of.jobs.end(), [&](const auto& job) {
    return job->seen && job->there && !covers(of.asked.who.get(), job->queue);
  });
  if (outside != of.jobs.end()) {
    of.over = true;
    return out + ": this token is not for the queue that job "
           + std::to_string((*outside)->id.value) + " is in now\n\n";
  }
  bool left = false; // something that cannot be told yet
  if (of.jobs.empty())
    gather_queues(of, out, left);
  else
    gather_jobs(of, out, left);
  const bool ended =
      !of.jobs.empty() && !left
      && std::all_of(of.told.begin(), of.told.end(), [](const auto& one) { return one.ended; });
  if (ended) {
    of.done = of.over = true;
    event(out, "done", of, "{}");
  }
  return out;
}

void event_board::gather_jobs(stream& of, std::string& out, bool& left) {
  for (std::size_t i = 0; i < of.jobs.size(); ++i) {
    const auto& job = of.jobs[i];
    auto& told = of.told[i];
    if (out.size() >= limits_.piece || !job->seen) {
      left = true;
      continue;
    }
    if (!job->there) {
      left = left || job->stale();
      if (told.digest != gone) {
        told.digest = gone;
        told.ended = true;
        event(out, "gone", of, about_job(job->id) + '}');
      }
      continue;
    }
    if (told.digest != job->digest) {
      told.digest = job->digest;
      told.ended = false;
      event(out, "job", of, job->text);
    }
    if (told.last_line < job->last_line) {
      left = true;
      want_page(job, told.last_line);
    } else if (job->stale() || !job->ended || !job->final) {
      left = true;
    } else if (!told.ended) {
      told.ended = true;
      event(out, "end", of, about_job(job->id) + ",\"state\":\"" + job->state + "\"}");
    }
  }
}

/// The lines behind `after`, of a log that went to `last` when they were asked for.
void event_board::tell_lines(const watched& of, stream& to, std::int64_t after, std::int64_t last,
                             const log_page& page) {
  const auto at = std::find_if(to.jobs.begin(), to.jobs.end(),
                               [&](const auto& job) { return job.get() == &of; });
  auto& told = to.told[static_cast<std::size_t>(at - to.jobs.begin())];
  if (!to.reply || to.over || told.last_line != after || told.digest != of.digest || !trusted(to)
      || !covers(to.asked.who.get(), of.queue))
    return; // it asks again when it is ready for them
  std::string out;
  for (const auto& line : page.lines) {
    if (out.size() >= limits_.piece)
      break;
    told.last_line = line.number;
    std::string data = "{\"job\":\"" + std::to_string(of.id.value) + "\",";
    std::string rest;
    append_line(rest, line);
    event(out, "log", to, data + rest.substr(1));
  }
  if (page.lines.empty())
    told.last_line = std::max(last, after); // they are gone
  else
    give(to, std::move(out));
}

/// What Last-Event-ID says was told, now that the queues' names are known.
void event_board::resolve(stream& of) const {
  const auto told = std::exchange(of.asked.told, std::nullopt);
  if (!told)
    return;
  std::map<std::string, std::uint64_t> present;
  std::uint64_t whole = 0;
  for (const auto& [name, state] : queues_) {
    present.emplace(name, state.digest);
    whole ^= event_share(name, state.digest);
  }
  if (told->whole) {
    if (*told->whole == whole) {
      of.queues = std::move(present);
      of.whole = whole;
    }
    return;
  }
  for (const auto& name : of.asked.subject.queues) // one that was told of may be gone
    present.emplace(name, 0);
  std::unordered_map<std::uint32_t, std::uint64_t> digests;
  for (const auto& one : told->queues)
    digests.emplace(one.name, one.digest);
  for (const auto& [name, digest] : present)
    if (const auto found = digests.find(event_name_hash(name)); found != digests.end()) {
      of.queues.emplace(name, found->second);
      of.whole ^= event_share(name, found->second);
    }
}

void event_board::gather_queues(stream& of, std::string& out, bool& left) {
  if (of.round == round_)
    return;
  resolve(of);
  const auto consider = [&](const std::string& name) {
    const auto now = queues_.find(name);
    const auto told = of.queues.find(name);
    const auto known = told == of.queues.end() ? 0 : told->second;
    if (now == queues_.end() ? known == 0 : now->second.digest == known)
      return;
    if (out.size() >= limits_.piece) {
      left = true;
      return;
    }
    if (known != 0)
      of.whole ^= event_share(name, known);
    if (now == queues_.end()) {
      of.queues.erase(told);
      std::string data = "{\"queue\":";
      append_json_string(data, name);
      event(out, "gone", of, data + '}');
      return;
    }
    of.queues[name] = now->second.digest;
    of.whole ^= event_share(name, now->second.digest);
    event(out, "queue", of, now->second.text);
  };
  const auto each = [&](const auto& names) {
    for (const auto& name : names)
      consider(name);
  };
  if (!of.asked.subject.queues.empty()) {
    each(of.asked.subject.queues);
  } else if (of.round != 0 && of.round + 1 == round_) {
    each(changed_);
  } else {
    std::set<std::string> names;
    for (const auto& [name, digest] : of.queues)
      names.insert(name);
    for (const auto& [name, state] : queues_)
      names.insert(name);
    each(names);
  }
  if (!left)
    of.round = round_;
}

void event_board::look_at_queues(std::string after) {
  ask(list_queues{std::move(after), static_cast<int>(limits::queue_page)},
      [this](const api_reply& reply) {
        const auto* page = std::get_if<queue_page>(&reply);
        if (page == nullptr) {
          queue_look_ = false;
          const auto* failed = std::get_if<failure>(&reply);
          return unavailable(
              failed != nullptr ? *failed : failure{errc::internal, "another answer"}, false);
        }
        for (const auto& queue : page->queues) {
          queue_state now;
          append_queue(now.text, queue);
          now.digest = event_digest(now.text);
          gathering_.insert_or_assign(queue.name, std::move(now));
        }
        if (page->next)
          look_at_queues(*page->next);
        else
          queues_seen();
      });
}

void event_board::queues_seen() {
  queue_look_ = false;
  answered();
  if (listeners_ == 0)
    return gathering_.clear();
  changed_.clear();
  for (const auto& [name, now] : gathering_) {
    const auto before = queues_.find(name);
    if (before == queues_.end() || before->second.digest != now.digest)
      changed_.push_back(name);
  }
  for (const auto& [name, before] : queues_)
    if (!gathering_.contains(name))
      changed_.push_back(name);
  queues_ = std::exchange(gathering_, {});
  ++round_;
  for (const auto which : all())
    if (streams_.contains(which) && streams_.at(which).jobs.empty())
      settle(which);
}

} // namespace troupe::http
