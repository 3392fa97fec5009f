#include "db/pipeline.hpp"

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

} // namespace

pipeline::pipeline(std::size_t max_in_flight) : max_in_flight_(max_in_flight) {}

pipeline::order pipeline::enter(const statement& what) {
  assert(!full());
  auto& known = prepared_[what.name];
  bool prepare = !known.usable;
  if (prepare) {
    ++known.generation;
    known.usable = true;
  }
  auto token = ++last_token_;
  written_.push_back(
      {token, &what, known.generation, prepare ? stage::preparing : stage::running, result{}});
  return {token, prepared_name(what, known.generation), prepare};
}

std::uint64_t pipeline::refuse(db_failure why) {
  auto token = ++last_token_;
  ready_.push_back({token, std::move(why)});
  return token;
}

const statement* pipeline::current() const {
  return written_.empty() ? nullptr : written_.front().what;
}

bool pipeline::on_result(result rows) {
  if (written_.empty())
    return false;
  auto& front = written_.front();
  switch (front.at) {
  case stage::preparing:
    front.at = stage::running;
    return true;
  case stage::running:
    front.outcome = std::move(rows);
    front.at = stage::answered;
    return true;
  case stage::answered:
    return false;
  }
  return false;
}

bool pipeline::on_error(db_failure why, bool forget_prepared) {
  if (written_.empty())
    return false;
  auto& front = written_.front();
  auto& known = prepared_[front.what->name];
  switch (front.at) {
  case stage::preparing:
    known.failed = front.generation;
    known.failure = why;
    known.usable = false; // a newer generation begins only after this
    break;
  case stage::running:
    if (forget_prepared) {
      // It was written in the belief that an earlier Parse, still on its way, would succeed.
      if (known.failed == front.generation)
        why = known.failure;
      if (known.generation == front.generation)
        known.usable = false;
    }
    break;
  case stage::answered:
    // The commit at the sync failed, for example on a deferred constraint.
    if (std::holds_alternative<db_failure>(front.outcome))
      return false;
    break;
  }
  front.outcome = std::move(why);
  front.at = stage::answered;
  return true;
}

bool pipeline::on_aborted() {
  return !written_.empty() && written_.front().at == stage::answered
         && std::holds_alternative<db_failure>(written_.front().outcome);
}

bool pipeline::on_sync() {
  if (written_.empty() || written_.front().at != stage::answered)
    return false;
  auto& front = written_.front();
  ready_.push_back({front.token, std::move(front.outcome)});
  written_.pop_front();
  return true;
}

void pipeline::on_lost(const db_failure& why) {
  for (auto& each : written_) {
    if (auto* failure = std::get_if<db_failure>(&each.outcome)) {
      ready_.push_back({each.token, std::move(*failure)});
      continue;
    }
    auto unknown = lost_after_sending(each.what->name, why.message);
    unknown.sqlstate = why.sqlstate;
    ready_.push_back({each.token, std::move(unknown)});
  }
  written_.clear();
  prepared_.clear();
}

std::optional<finished> pipeline::next() {
  if (ready_.empty())
    return std::nullopt;
  auto answer = std::move(ready_.front());
  ready_.pop_front();
  return answer;
}

} // namespace troupe::db
