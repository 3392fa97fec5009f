// What the answers of a burst mean: the second half of unit_of_work.
#include "db/job_statements.hpp"
#include "db/node_statements.hpp"
#include "db/unit_of_work.hpp"

#include <algorithm>

namespace troupe::db {

namespace {

using namespace std::chrono;

milliseconds until(const job_spec& job) {
  if (job.delay)
    return *job.delay;
  return std::max(milliseconds{0}, ceil<milliseconds>(*job.run_at - system_clock::now()));
}

} // namespace

failure unit_of_work::aborted_by(const failure& why) {
  return {errc::aborted, "the transaction was aborted by an earlier error: " + to_string(why.code)
                             + (why.detail.empty() ? std::string{} : " (" + why.detail + ")")};
}

void unit_of_work::take(result rows, std::string_view tag) {
  const auto open = std::find_if(calls_.begin(), calls_.end(),
                                 [](const call& one) { return one.answered < one.statements; });
  if (open == calls_.end())
    return;
  ++open->answered;
  open->rows.push_back(std::move(rows));
  open->tag = tag;
  settle();
}

void unit_of_work::take(failure why) {
  const auto open = std::find_if(calls_.begin(), calls_.end(),
                                 [](const call& one) { return one.answered < one.statements; });
  if (open == calls_.end())
    return;
  ++open->answered;
  // The first: what follows it in the same call is a consequence, unless the connection went too.
  if (!open->failed || (is_loss(why.code) && is<commit_work>(open->request)))
    open->failed = std::move(why);
  settle();
}

std::optional<unit_of_work::settled> unit_of_work::next() {
  if (ready_.empty())
    return std::nullopt;
  auto first = std::move(ready_.front());
  ready_.pop_front();
  return first;
}

/// A connection was lost with a commit on its way: nobody is told anything before it is known what
/// became of the commit.
bool unit_of_work::lost() const {
  return std::any_of(calls_.begin(), calls_.end(),
                     [](const call& one) { return one.failed && is_loss(one.failed->code); });
}

bool unit_of_work::committing() const {
  return std::any_of(calls_.begin(), calls_.end(), [](const call& one) {
    return is<commit_work>(one.request) && one.statements > 0;
  });
}

void unit_of_work::settle() {
  if (lost() && std::any_of(calls_.begin(), calls_.end(), [](const call& one) {
        return one.answered < one.statements;
      }))
    return;
  bool any = false;
  while (!calls_.empty() && calls_.front().answered == calls_.front().statements) {
    settle_first();
    any = true;
  }
  if (any && calls_.empty())
    conclude();
}

void unit_of_work::settle_first() {
  auto& done = calls_.front();
  const bool commits = is<commit_work>(done.request);
  // The server says ROLLBACK to who commits what has failed.
  const bool undone = commits && done.tag == "ROLLBACK";
  over_ = over_ || undone;
  std::variant<failure, work_reply> outcome;
  if (broken_ && !(commits && !done.failed && !undone && done.statements > 0))
    outcome = broken_->code == errc::outcome_unknown ? *broken_ : aborted_by(*broken_);
  else if (done.failed && !is<rollback_work>(done.request)) // what cannot be rolled back is gone
    outcome = fail(done);
  else if (undone)
    outcome = *(broken_ = failure{errc::aborted, "the server rolled the transaction back"});
  else
    outcome = succeed(done);
  if (const auto* failed = std::get_if<failure>(&outcome);
      failed && !broken_ && !is<refresh_job>(done.request))
    broken_ = *failed; // an answer that cannot be read, or a run that was fenced
  if (broken_ && failures_seen_ == failures_) {
    ++failures_;
    phase_ = done.before.at;
    stack_ = done.before.stack;
    flushed_ = done.before.flushed;
  }
  if (done.number != 0)
    ready_.push_back({done.number, std::move(outcome), failures_});
  calls_.pop_front();
}

/// What the caller of the first failed call of a burst is told.
failure unit_of_work::fail(const call& failed) {
  auto why = *failed.failed;
  const auto commit = std::find_if(calls_.begin(), calls_.end(), [](const call& one) {
    return is<commit_work>(one.request) && one.statements > 0;
  });
  const auto* lost_commit = is<commit_work>(failed.request) ? &failed
                            : commit != calls_.end()        ? &*commit
                                                            : nullptr;
  if (is<commit_work>(failed.request) || is<recover_work>(failed.request))
    over_ = true;
  if (is_loss(why.code)) {
    over_ = true;
    const bool unknown =
        lost_commit && lost_commit->failed && lost_commit->failed->code == errc::outcome_unknown;
    if (unknown)
      why = {errc::outcome_unknown, why.detail};
    else if (why.code == errc::outcome_unknown)
      why = {errc::unavailable,
             "the connection was lost and the transaction rolled back: " + why.detail};
  }
  broken_ = why;
  return why;
}

std::variant<failure, work_reply> unit_of_work::succeed(call& done) {
  try {
    if (is<flush_work>(done.request))
      return work_reply{note_stored(done)};
    if (is<commit_work>(done.request)) {
      note_stored(done);
      flushed_ = marks_.size();
      stack_ = nullptr;
      compact();
      auto receipt = std::exchange(receipt_, {});
      end(phase::idle, {});
      return work_reply{std::move(receipt)};
    }
    if (is<rollback_work>(done.request))
      end(phase::idle, {});
    if (is<complete_run>(done.request)) {
      note_stored(done);
      if (!decode_finished(done.rows.back()).fenced.empty())
        return failure{errc::fenced, "the lease of this run is gone"};
    }
    if (is<rollback_to_savepoint>(done.request))
      forget_marks();
    if (const auto* job = std::get_if<refresh_job>(&done.request)) {
      auto found = decode_job(done.rows.at(done.begins));
      if (!found)
        return failure{errc::not_found, "there is no job " + std::to_string(job->id.value)};
      decode_attempts(done.rows.at(done.begins + 1), *found);
      return work_reply{*std::move(found)};
    }
    restore_ = restore_ || is<copy_rows>(done.request);
    if (is<run_query>(done.request) || is<copy_rows>(done.request))
      return work_reply{std::move(done.rows.back())};
    if (is<identify_work>(done.request))
      transaction_ = done.rows.at(0).one().get<std::optional<std::string>>(0).value_or("");
    return work_reply{};
  } catch (const decode_error& e) {
    return failure{errc::internal, e.what()};
  }
}

flushed_work unit_of_work::note_stored(const call& done) {
  flushed_work out;
  std::vector<std::int64_t> ids;
  for (std::size_t i = 0; i < done.enqueues; ++i) {
    const auto some = done.rows.at(done.begins + i).one().get<std::vector<std::int64_t>>(0);
    ids.insert(ids.end(), some.begin(), some.end());
  }
  for (auto i = done.before.flushed; i < done.before.marks; ++i) {
    if (std::holds_alternative<job_id>(marks_[i].what)) {
      ++out.removed;
      continue;
    }
    if (out.added.size() == ids.size())
      throw decode_error("job_enqueue: fewer ids than jobs");
    marks_[i].stored = job_id{ids[out.added.size()]};
    out.added.push_back(marks_[i].stored);
  }
  return out;
}

/// The burst is answered.
void unit_of_work::conclude() {
  barrier_ = false;
  if (!broken_) {
    if (!stack_)
      compact();
    return;
  }
  const auto why = *std::exchange(broken_, std::nullopt);
  const bool over = std::exchange(over_, false);
  failures_seen_ = failures_;
  reason_ = why;
  if (why.code == errc::outcome_unknown)
    return end(phase::unknown, why);
  if (over || !stack_ || phase_ != phase::active)
    return end(phase::aborted, why);
  recover_ = true;
  forget_marks();
}

/// Those since the innermost savepoint. What was marked before it and flushed in it waits again.
void unit_of_work::forget_marks() {
  marks_.erase(marks_.begin() + static_cast<std::ptrdiff_t>(stack_->marks), marks_.end());
  flushed_ = stack_->flushed;
  bad_mark_.reset();
}

void unit_of_work::end(phase now, failure why) {
  if (now == phase::unknown) {
    stack_ = nullptr;
    compact();
    in_doubt_ = std::move(receipt_);
  }
  phase_ = now;
  reason_ = std::move(why);
  stack_ = nullptr;
  marks_.clear();
  flushed_ = 0;
  bad_mark_.reset();
  receipt_ = {};
  recover_ = restore_ = false;
  if (now != phase::unknown)
    transaction_.clear();
}

committed_work unit_of_work::resolved(bool committed) {
  auto told = std::exchange(in_doubt_, {});
  if (committed) {
    acknowledged_ = failures_; // there was none in the end
    end(phase::idle, {});
  } else {
    end(phase::aborted, {errc::unavailable, "the connection was lost and the transaction rolled "
                                            "back"});
  }
  return told;
}

/// Without a savepoint nothing undoes a part of what is flushed, so it is kept in short.
void unit_of_work::compact() {
  for (std::size_t i = 0; i < flushed_; ++i) {
    const auto* job = std::get_if<job_spec>(&marks_[i].what);
    if (job == nullptr)
      continue;
    receipt_.added.push_back(marks_[i].stored);
    auto& queues = receipt_.ready_queues;
    if (!job->delay && std::find(queues.begin(), queues.end(), job->queue) == queues.end())
      queues.push_back(job->queue);
    if (job->delay || job->run_at)
      receipt_.soonest = std::min(receipt_.soonest.value_or(limits::max_delay), until(*job));
  }
  marks_.erase(marks_.begin(), marks_.begin() + static_cast<std::ptrdiff_t>(flushed_));
  flushed_ = 0;
}

void unit_of_work::abort(const failure& why) {
  for (auto& one : calls_)
    if (one.number != 0)
      ready_.push_back({one.number, aborted_by(why), failures_ + 1});
  calls_.clear();
  broken_.reset();
  over_ = false;
  barrier_ = false;
  failures_seen_ = ++failures_;
  end(phase::aborted, why);
}

} // namespace troupe::db
