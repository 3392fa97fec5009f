#include "db/pipeline.hpp"

#include "db/words.hpp"

#include <cassert>
#include <utility>

namespace troupe::db {

namespace {

std::string prepared_name(const statement& what, int generation) {
  std::string name = what.name;
  if (generation > 1)
    name += '.' + std::to_string(generation);
  return name;
}

/// ROLLBACK TO and ROLLBACK have the same command tag.
bool is_rollback_to(const statement& what) {
  std::string_view text = what.text;
  if (take_word(text) != "rollback")
    return false;
  const auto second = take_word(text); // "work" or "transaction" may stand between
  return second == "to" || take_word(text) == "to";
}

bool is_commit(const statement& what) {
  return begins_with(what.text, "commit") || begins_with(what.text, "end")
         || begins_with(what.text, "prepare");
}

/// A statement that did not fail itself.
db_failure carried_down(const char* how, const db_failure& first, const char* name = "") {
  db_failure result;
  result.code = errc::aborted;
  result.sqlstate = first.sqlstate;
  result.statement = name;
  result.message = how + first.message;
  return result;
}

constexpr const char* skipped = "an earlier statement of the same group failed: ";
constexpr const char* undone = "undone, as another statement of the same group failed: ";

} // namespace

bool opens_block(const statement& what) {
  return begins_with(what.text, "begin") || begins_with(what.text, "start");
}

bool is_copy(const statement& what) {
  return begins_with(what.text, "copy");
}

pipeline::pipeline(std::size_t max_in_flight) : max_in_flight_(max_in_flight) {}

pipeline::order pipeline::enter(const entrance& what) {
  assert(what.companion || !full());
  const auto& named = what.as ? what.as : what.what;
  int generation = 0;
  bool prepare = false;
  if (named->prepared && !what.parse_anew) {
    auto& known = prepared_.try_emplace(named->name, prepared{named}).first->second;
    prepare = !known.usable;
    if (prepare) {
      ++known.generation;
      known.usable = true;
    }
    generation = known.generation;
  }
  auto token = ++last_token_;
  companions_ += what.companion ? 1 : 0;
  written_.push_back({token, what.what, named, generation,
                      prepare ? stage::preparing : stage::running, what.after == sync_point::now,
                      what.companion, what.expected, result{}});
  return {token, generation == 0 ? std::string{} : prepared_name(*named, generation), prepare};
}

std::uint64_t pipeline::refuse(db_failure why, sync_point after) {
  auto token = ++last_token_;
  if (after == sync_point::now) {
    refusing_.reset();
  } else if (!refusing_) {
    refusing_ = carried_down("an earlier statement of the same group was refused: ", why);
  }
  ready_.push_back({token, std::move(why)});
  return token;
}

void pipeline::close_group() {
  refusing_.reset();
  if (!written_.empty())
    written_.back().closes = true;
}

const statement_ptr& pipeline::current_ptr() const {
  return written_[sync_due() ? cursor_ - 1 : cursor_].what;
}

const statement* pipeline::current() const {
  return !sync_due() && cursor_ == written_.size() ? nullptr : current_ptr().get();
}

pipeline::prepared* pipeline::known(const entry& which) {
  const auto found = which.generation == 0 ? prepared_.end() : prepared_.find(which.named->name);
  return found == prepared_.end() ? nullptr : &found->second;
}

void pipeline::forget(const entry& which) {
  if (auto* of = known(which); of && of->generation == which.generation)
    of->usable = false; // a newer generation begins only after this
}

void pipeline::forget_all() {
  std::erase_if(prepared_, [](const auto& one) { return one.second.owner.use_count() > 0; });
  for (auto& [name, one] : prepared_)
    one.usable = false;
}

void pipeline::answer(entry& which, std::variant<result, db_failure> outcome) {
  which.outcome = std::move(outcome);
  which.at = stage::answered;
  ++cursor_;
}

void pipeline::note_end_of(const entry& which, const result& rows) {
  auto tag = rows.command_tag();
  if (tag == "BEGIN" || tag == "START TRANSACTION"
      || (tag == "ROLLBACK" && is_rollback_to(*which.what))) {
    block_ = block_state::open;
  } else if (tag == "COMMIT" || tag == "ROLLBACK" || tag == "PREPARE TRANSACTION") {
    block_ = block_state::none;
    committed_ = cursor_ + 1;
  }
}

bool pipeline::on_result(result rows, std::optional<db_failure> withheld) {
  if (sync_due() || cursor_ == written_.size() || group_error_)
    return false;
  auto& front = written_[cursor_];
  if (front.at == stage::preparing) {
    front.at = stage::running;
    return true;
  }
  note_end_of(front, rows);
  if (withheld) {
    answer(front, std::move(*withheld));
  } else if (front.expected && *front.expected != rows.affected()) {
    db_failure why;
    why.code = errc::stale;
    why.statement = front.what->name;
    why.message = std::to_string(*front.expected) + " rows were to change, "
                  + std::to_string(rows.affected()) + " did: somebody else was here first";
    answer(front, std::move(why));
  } else {
    answer(front, std::move(rows));
  }
  return true;
}

void pipeline::undo_before(std::size_t index, const db_failure& why) {
  for (auto i = committed_; i < index; ++i)
    if (auto& each = written_[i]; std::holds_alternative<result>(each.outcome))
      each.outcome = carried_down(undone, why, each.what->name);
}

bool pipeline::on_error(db_failure why, bool forget_prepared) {
  if (group_error_ || (!sync_due() && cursor_ == written_.size()))
    return false;
  if (sync_due()) {
    // The commit at the sync failed, for example on a deferred constraint.
    auto last = cursor_;
    while (last > committed_ && written_[last - 1].companion)
      --last;
    if (last == committed_)
      return false;
    group_error_ = why;
    undo_before(last - 1, why);
    written_[last - 1].outcome = std::move(why);
    return true;
  }
  auto& front = written_[cursor_];
  if (front.at == stage::preparing) {
    forget(front);
    if (auto* of = known(front)) {
      of->failed = front.generation;
      of->failure = why;
    }
  } else if (forget_prepared && front.generation > 0) {
    // It was written in the belief that an earlier Parse, still on its way, would succeed.
    if (const auto* of = known(front); of && of->failed == front.generation)
      why = of->failure;
    forget(front);
  }
  if (why.sqlstate == "25P02") {
    if (!block_error_.empty())
      why.message += " (it failed with: " + block_error_ + ")";
  } else {
    block_error_ = why.message;
  }
  if (block_ == block_state::none)
    undo_before(cursor_, why);
  else
    block_ = is_commit(*front.what) ? block_state::none : block_state::failed;
  group_error_ = why;
  if (front.at == stage::preparing) {
    front.outcome = std::move(why);
    front.at = stage::running; // its execution will be skipped
  } else {
    answer(front, std::move(why));
  }
  return true;
}

bool pipeline::on_aborted() {
  if (!group_error_ || sync_due() || cursor_ == written_.size())
    return false;
  auto& front = written_[cursor_];
  if (front.at == stage::preparing) {
    forget(front);
    front.at = stage::running;
    return true;
  }
  if (auto* own = std::get_if<db_failure>(&front.outcome))
    answer(front, std::move(*own));
  else
    answer(front, carried_down(skipped, *group_error_, front.what->name));
  return true;
}

bool pipeline::on_sync(std::optional<block_state> told) {
  if (!sync_due())
    return false;
  for (; cursor_ > 0; --cursor_) {
    auto& front = written_.front();
    if (front.companion)
      --companions_;
    else
      ready_.push_back({front.token, std::move(front.outcome)});
    written_.pop_front();
  }
  committed_ = 0;
  group_error_.reset();
  if (told)
    block_ = *told;
  if (block_ == block_state::none)
    block_error_.clear();
  return true;
}

void pipeline::on_lost(const db_failure& why) {
  for (auto& each : written_) {
    if (group_error_ && each.at != stage::answered && std::holds_alternative<result>(each.outcome))
      each.outcome = carried_down(skipped, *group_error_, each.what->name);
    if (each.closes)
      group_error_.reset();
    if (each.companion)
      continue;
    if (auto* failure = std::get_if<db_failure>(&each.outcome)) {
      ready_.push_back({each.token, std::move(*failure)});
      continue;
    }
    auto unknown = lost_after_sending(each.what->name, why.message);
    unknown.sqlstate = why.sqlstate;
    ready_.push_back({each.token, std::move(unknown)});
  }
  written_.clear();
  companions_ = cursor_ = committed_ = 0;
  group_error_.reset();
  refusing_.reset();
  block_ = block_state::none;
  prepared_.clear();
}

void pipeline::answer_outside(finished answer, std::optional<block_state> told) {
  ready_.push_back(std::move(answer));
  block_ = told.value_or(block_);
}

std::optional<finished> pipeline::next() {
  if (ready_.empty())
    return std::nullopt;
  auto answer = std::move(ready_.front());
  ready_.pop_front();
  return answer;
}

} // namespace troupe::db
