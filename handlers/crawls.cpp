#include "handlers/crawls.hpp"

namespace troupe {

void live_crawls::add(job_id crawl, listener told) {
  const std::lock_guard lock(guard_);
  listeners_[crawl] = std::move(told);
}

void live_crawls::remove(job_id crawl) {
  const std::lock_guard lock(guard_);
  listeners_.erase(crawl);
}

void live_crawls::tell(const crawl_progress& progress) const {
  if (!progress.finished())
    return;
  listener told;
  {
    const std::lock_guard lock(guard_);
    if (const auto found = listeners_.find(progress.crawl); found != listeners_.end())
      told = found->second;
  }
  if (told)
    told(progress);
}

void spec_cache::get(job_id crawl, on_result<spec_ptr> reply) {
  std::unique_lock lock(guard_);
  if (const auto found = index_.find(crawl); found != index_.end()) {
    entries_.splice(entries_.begin(), entries_, found->second);
    auto known = found->second->spec;
    if (!known) {
      found->second->waiting.push_back(std::move(reply));
      return;
    }
    lock.unlock();
    return reply(std::move(known));
  }
  entries_.push_front({crawl, nullptr, {}});
  entries_.front().waiting.push_back(std::move(reply));
  index_[crawl] = entries_.begin();
  lock.unlock();
  port_.spec(crawl, [self = shared_from_this(), crawl](result_or<crawl_spec> answer) {
    self->arrived(crawl, std::move(answer));
  });
}

void spec_cache::arrived(job_id crawl, result_or<crawl_spec> answer) {
  result_or<spec_ptr> told = failure{};
  if (auto* why = std::get_if<failure>(&answer))
    told = *why;
  else
    told = std::make_shared<const crawl_spec>(std::get<crawl_spec>(std::move(answer)));
  std::vector<on_result<spec_ptr>> waiting;
  {
    const std::lock_guard lock(guard_);
    const auto found = index_.find(crawl);
    if (found == index_.end())
      return;
    waiting = std::move(found->second->waiting);
    found->second->waiting.clear();
    if (std::holds_alternative<failure>(told)) {
      entries_.erase(found->second);
      index_.erase(found);
    } else {
      found->second->spec = std::get<spec_ptr>(told);
    }
    // Entries with waiters stay: their answer is on its way.
    for (auto last = entries_.end(); entries_.size() > capacity_ && last != entries_.begin();) {
      --last;
      if (!last->spec)
        continue;
      index_.erase(last->crawl);
      last = entries_.erase(last);
    }
  }
  for (const auto& reply : waiting)
    reply(told);
}

} // namespace troupe
