#include "db/unit_of_work.hpp"

#include "db/job_statements.hpp"
#include "db/node_statements.hpp"
#include "db/statements.hpp"

#include <algorithm>

namespace troupe::db {

namespace {

/// Arguments in one enqueue; more go into a further statement.
constexpr std::size_t enqueue_bytes = std::size_t{16} * 1024 * 1024;

bool goes_back(const work_request& request) {
  return is<rollback_work>(request) || is<rollback_to_savepoint>(request);
}

const statement& begin_statement(isolation level) {
  switch (level) {
  case isolation::read_committed:
    return sql::transaction_begin_read_committed;
  case isolation::repeatable_read:
    return sql::transaction_begin_repeatable_read;
  case isolation::serializable:
    return sql::transaction_begin_serializable;
  case isolation::server_default:
    break;
  }
  return sql::transaction_begin;
}

} // namespace

unit_of_work::frame::frame(std::shared_ptr<const frame> around, std::string named,
                           std::size_t marked, std::size_t in_database)
    : outer(std::move(around)), name(std::move(named)), depth(outer ? outer->depth + 1 : 1),
      marks(marked), flushed(in_database) {}

/// A loop: the chain may be deeper than the stack.
unit_of_work::frame::~frame() {
  auto next = std::move(outer);
  while (next && next.use_count() == 1)
    next = std::exchange(next->outer, nullptr);
}

// -- marks

void unit_of_work::add(job_spec job, std::uint64_t seen) {
  if (phase_ == phase::aborted || phase_ == phase::unknown
      || failures_ > std::max(seen, acknowledged_))
    return;
  if (marks_.size() >= max_marks)
    bad_mark_ = failure{errc::overloaded, "more than " + std::to_string(max_marks)
                                              + " jobs are marked; flush from time to time"};
  else if (auto fault = find_fault(job))
    bad_mark_ = failure{errc::invalid_argument, *std::move(fault)};
  else
    marks_.emplace_back(std::move(job));
}

void unit_of_work::remove(job_id id, std::uint64_t seen) {
  if (phase_ == phase::aborted || phase_ == phase::unknown
      || failures_ > std::max(seen, acknowledged_))
    return;
  if (marks_.size() >= max_marks)
    bad_mark_ = failure{errc::overloaded, "more than " + std::to_string(max_marks)
                                              + " jobs are marked; flush from time to time"};
  else
    marks_.emplace_back(id);
}

// -- planning

bool unit_of_work::may_plan(const work_request& request) const {
  return may_mark() && (calls_.empty() || !goes_back(request));
}

std::optional<failure> unit_of_work::refusal(const work_request& request,
                                             std::uint64_t seen) const {
  if (is<rollback_work>(request))
    return std::nullopt;
  if (phase_ == phase::aborted)
    return aborted_by(reason_);
  if (phase_ == phase::unknown)
    return failure{errc::outcome_unknown, reason_.detail};
  if (!goes_back(request) && failures_ > std::max(seen, acknowledged_))
    return aborted_by(reason_);
  if (is<begin_work>(request) && phase_ == phase::active)
    return failure{errc::conflict, "a transaction is open; nest with savepoints"};
  if (const auto* to = std::get_if<set_savepoint>(&request)) {
    if (depth() >= max_depth)
      return failure{errc::invalid_argument,
                     "more than " + std::to_string(max_depth) + " savepoints are open"};
    if (to->name.empty())
      return failure{errc::invalid_argument, "name: a savepoint needs one"};
  }
  const auto* release = std::get_if<release_savepoint>(&request);
  const auto* back = std::get_if<rollback_to_savepoint>(&request);
  if (const auto* name = release ? &release->name
                         : back  ? &back->name
                                 : nullptr;
      name && !find(*name))
    return failure{errc::not_found, "this transaction has no savepoint '" + *name + "'"};
  const auto* ask = std::get_if<run_query>(&request);
  const auto* copy = std::get_if<copy_rows>(&request);
  if (const auto* what = ask ? &ask->what : copy ? &copy->what : nullptr) {
    if (is_transaction_control(what->what().text))
      return failure{errc::invalid_argument,
                     "transactions are the session's: use begin, commit, rollback and savepoint"};
    if (what->bytes() > query::max_bytes || what->size() > query::max_parameters)
      return failure{errc::invalid_argument, "the parameters of one statement are limited to "
                                                 + std::to_string(query::max_bytes) + " bytes"};
  }
  return std::nullopt;
}

std::shared_ptr<const unit_of_work::frame> unit_of_work::find(const std::string& name) const {
  auto found = stack_;
  while (found && found->name != name)
    found = found->outer;
  return found;
}

void unit_of_work::open(const transaction_options& options, call& made, std::vector<query>& into) {
  if (phase_ == phase::active)
    return;
  into.emplace_back(begin_statement(options.level));
  if (options.read_only)
    into.emplace_back(sql::transaction_read_only);
  made.begins = into.size();
  phase_ = phase::active;
  transaction_.clear();
}

void unit_of_work::write_marks(call& made, std::vector<query>& into) {
  enqueue_jobs batch;
  std::size_t bytes = 0;
  const auto send = [&] {
    into.push_back(enqueue_query(batch));
    ++made.enqueues;
    batch.jobs.clear();
    bytes = 0;
  };
  const auto first = marks_.begin() + static_cast<std::ptrdiff_t>(flushed_);
  for (auto one = first; one != marks_.end(); ++one) {
    const auto* job = std::get_if<job_spec>(&one->what);
    if (job == nullptr)
      continue;
    bytes += job->args.size();
    batch.jobs.push_back(*job);
    if (batch.jobs.size() >= limits::bulk_jobs || bytes >= enqueue_bytes)
      send();
  }
  if (!batch.jobs.empty())
    send();
  // Removing locks the job's lanes until the end of the transaction, so it comes last.
  for (auto one = first; one != marks_.end(); ++one)
    if (const auto* id = std::get_if<job_id>(&one->what))
      into.push_back(delete_query(*id));
  flushed_ = marks_.size();
}

void unit_of_work::emit(call& made, std::vector<query>& into) {
  const auto& request = made.request;
  if (const auto* with = std::get_if<begin_work>(&request)) {
    open(with->options, made, into);
  } else if (is<flush_work>(request) || is<commit_work>(request) || is<complete_run>(request)) {
    if (flushed_ < marks_.size() || is<complete_run>(request))
      open({}, made, into);
    write_marks(made, into);
    if (const auto* run = std::get_if<complete_run>(&request))
      into.push_back(finish_query(run->finish));
    if (is<commit_work>(request) && phase_ == phase::active)
      into.emplace_back(sql::transaction_commit);
    barrier_ = !is<flush_work>(request);
  } else if (is<rollback_work>(request)) {
    if (phase_ == phase::active)
      into.emplace_back(sql::transaction_rollback);
    barrier_ = true;
  } else if (const auto* named = std::get_if<set_savepoint>(&request)) {
    open({}, made, into);
    into.emplace_back(sql::savepoint_set);
    stack_ = std::make_shared<const frame>(stack_, named->name, marks_.size(), flushed_);
  } else if (const auto* released = std::get_if<release_savepoint>(&request)) {
    const auto outer = find(released->name)->outer;
    for (; stack_ != outer; stack_ = stack_->outer)
      into.emplace_back(sql::savepoint_release);
  } else if (const auto* back = std::get_if<rollback_to_savepoint>(&request)) {
    const auto target = find(back->name);
    for (; stack_ != target; stack_ = stack_->outer) {
      into.emplace_back(sql::savepoint_rollback);
      into.emplace_back(sql::savepoint_release);
    }
    into.emplace_back(sql::savepoint_rollback);
    barrier_ = true;
  } else if (const auto* job = std::get_if<refresh_job>(&request)) {
    open({}, made, into);
    into.push_back(job_query({job->id}));
    into.push_back(attempts_query(job->id));
  } else if (const auto* ask = std::get_if<run_query>(&request)) {
    open({}, made, into);
    into.push_back(ask->what);
    // That too few rows were changed is found here, not by the server, which would go on.
    barrier_ = ask->what.expected().has_value();
  } else if (const auto* copy = std::get_if<copy_rows>(&request)) {
    // Its caller decides how long it takes; who is silent too long is noticed without the server.
    open({}, made, into);
    into.push_back(query{sql::timeout_set}.bind("0"));
    into.push_back(copy->what);
    barrier_ = true;
  }
}

unit_of_work::call unit_of_work::call_before(std::uint64_t number, work_request request) const {
  call made;
  made.number = number;
  made.request = std::move(request);
  made.before = {phase_, stack_, marks_.size(), flushed_};
  return made;
}

unit_of_work::planned unit_of_work::plan(work_request request, std::uint64_t seen) {
  planned out{++last_call_, {}};
  if (auto why = refusal(request, seen)) {
    ready_.push_back({out.call, *std::move(why), failures_});
    return out;
  }
  if (goes_back(request))
    acknowledged_ = failures_;
  auto made = call_before(out.call, std::move(request));
  if (bad_mark_
      && (is<flush_work>(made.request) || is<commit_work>(made.request)
          || is<complete_run>(made.request))) {
    // Judged here, but like an error of the server: what was asked for cannot be had.
    made.failed = std::exchange(bad_mark_, std::nullopt);
    barrier_ = true;
  } else {
    emit(made, out.statements);
  }
  made.statements = out.statements.size();
  calls_.push_back(std::move(made));
  settle();
  return out;
}

std::vector<query> unit_of_work::own(work_request request, const statement& what) {
  auto made = call_before(0, std::move(request));
  made.statements = 1;
  calls_.push_back(std::move(made));
  std::vector<query> out;
  out.emplace_back(what);
  return out;
}

std::vector<query> unit_of_work::seal() {
  const bool wrote = std::any_of(calls_.begin(), calls_.end(), [](const call& one) {
    return is<flush_work>(one.request) || is<run_query>(one.request)
           || is<restore_work>(one.request);
  });
  if (!wrote || barrier_ || phase_ != phase::active || !transaction_.empty())
    return {};
  return own(identify_work{}, sql::transaction_id);
}

std::vector<query> unit_of_work::recovery() {
  if (std::exchange(recover_, false))
    return own(recover_work{}, sql::savepoint_rollback);
  if (std::exchange(restore_, false))
    return own(restore_work{}, sql::timeout_restore);
  return {};
}

} // namespace troupe::db
