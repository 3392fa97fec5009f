// The engine's statements as plain calls, for tests: a question goes through its real query, the
// server, and its real decoder. One desk is one connection; a refusal throws `refused`.
#pragma once

#include "db/crawl_statements.hpp"
#include "db/job_statements.hpp"
#include "db/node_statements.hpp"
#include "db/queue_statements.hpp"
#include "db/why.hpp"
#include "tests/db/patient_connection.hpp"
#include "tests/support/await.hpp"
#include "tests/support/database.hpp"
#include "tests/support/drive.hpp"
#include "tests/support/printing.hpp"

#include <boost/test/unit_test.hpp>

#include <stdexcept>

namespace troupe::tests {

struct refused : std::runtime_error {
  explicit refused(db::db_failure what)
      : std::runtime_error(what.code == errc::retry ? what.message + " in " + what.statement
                                                    : what.message),
        why(std::move(what)) {}
  db::db_failure why;
};

inline bool is_conflict(const refused& e) {
  return e.why.code == errc::conflict;
}
inline bool is_not_found(const refused& e) {
  return e.why.code == errc::not_found;
}
inline bool is_invalid(const refused& e) {
  return e.why.code == errc::invalid_argument;
}

/// Asks again for what was undone whole, as nodes do: a process that stands still for a second with
/// a lock makes a deadlock of what would have given up sooner.
template<class Ask>
auto insist(Ask ask) {
  for (;;)
    try {
      return ask();
    } catch (const refused& no) {
      if (no.why.code != errc::retry)
        throw;
    }
}

inline const db::statement begin_statement{"begin_it", "begin"};
inline const db::statement commit_statement{"commit_it", "commit"};
inline const db::statement rollback_statement{"rollback_it", "rollback"};

/// One run to be finished, with what tests mostly say.
inline finished_run ended(const claimed_jobs& of, const job_run& run, job_result result,
                          std::chrono::milliseconds retry_in = std::chrono::hours{1}) {
  return {of.lease,
          run.id,
          run.attempt,
          std::move(result),
          retry_in,
          std::chrono::milliseconds{5},
          std::chrono::milliseconds{1}};
}

class desk {
public:
  explicit desk(const std::string& url) : on(connect_patiently(url)) {}

  db::result ask(const db::query& q) {
    auto answer = tests::ask(on, q);
    if (auto* why = std::get_if<db::db_failure>(&answer.outcome))
      throw refused(std::move(*why));
    return std::get<db::result>(answer.outcome);
  }
  void begin() { ask(db::query{begin_statement}); }
  void commit() { ask(db::query{commit_statement}); }
  void rollback() { ask(db::query{rollback_statement}); }

  std::vector<job_id> enqueue(std::vector<job_spec> jobs) {
    const enqueue_jobs question{std::move(jobs)};
    return db::decode_enqueued(ask(db::enqueue_query(question)), question).ids;
  }
  job_id enqueue(job_spec job) { return enqueue(std::vector{std::move(job)}).front(); }
  job_id enqueue() { return enqueue(job_spec{.kind = "noop"}); }
  enqueued_here enqueue_here(std::vector<job_spec> jobs) {
    if (node.value == 0)
      join();
    const auto asked = std::make_shared<enqueue_jobs>(enqueue_jobs{std::move(jobs)});
    const troupe::enqueue_here question{node, asked};
    return db::decode_enqueued_here(ask(db::enqueue_here_query(question)), question);
  }
  std::vector<job_id> enqueue_keyed(int count, const std::string& key, int priority = 0) {
    return enqueue(
        std::vector<job_spec>(static_cast<std::size_t>(count),
                              job_spec{.kind = "noop", .priority = priority, .limit_key = key}));
  }
  std::vector<job_id> enqueue_many(int count, const std::string& queue = "default") {
    return enqueue(std::vector<job_spec>(static_cast<std::size_t>(count),
                                         job_spec{.kind = "noop", .queue = queue}));
  }

  node_id join(const std::string& name = "test") {
    return node = db::decode_join(ask(db::join_query({name})));
  }
  pulse beat() { return db::decode_pulse(ask(db::beat_query({node}))); }
  void leave() { ask(db::leave_query({node})); }
  claimed_jobs claim(int limit = 100, const std::string& queue = "default") {
    if (node.value == 0)
      join();
    return claim_by({node, queue, limit});
  }
  claimed_jobs claim_by(const claim_jobs& asked) {
    const auto rows = ask(db::claim_query(asked));
    auto claim = db::decode_claimed(rows, asked.queue);
    if (auto rest = db::leased_query(rows))
      db::add_leased(ask(*std::move(rest)), asked.queue, claim);
    return claim;
  }
  /// As the engine does in a queue that may be limited.
  claimed_jobs claim_for(int limit, int slots, int held, const std::string& queue = "default") {
    return claim_by({node, queue, limit, slots, held});
  }
  /// Keeps so many of the permits; what it holds then.
  run_permits keep(run_permits what, const std::string& queue = "default") {
    return finish(finish_runs{node, {}, {}, {{queue, what}}}).permits.at(0);
  }
  void pause(const std::string& queue = "default") { ask(db::pause_query({queue, true})); }
  void resume(const std::string& queue = "default") { ask(db::pause_query({queue, false})); }
  void limit(std::optional<int> concurrency, const std::string& queue = "default") {
    ask(db::limit_query({queue, std::optional{concurrency}, {}}));
  }
  void limit_rate(std::optional<job_rate> rate, const std::string& queue = "default") {
    ask(db::limit_query({queue, {}, std::optional{rate}}));
  }
  void limit_keys(std::optional<int> concurrency, const std::string& queue = "default") {
    ask(db::limit_query({queue, {}, {}, std::optional{concurrency}}));
  }
  void limit_key_rate(std::optional<job_rate> rate, const std::string& queue = "default") {
    ask(db::limit_query({queue, {}, {}, {}, std::optional{rate}}));
  }
  void order(bool ordered, const std::string& queue = "default") {
    ask(db::limit_query({.name = queue, .ordered = ordered}));
  }
  std::optional<queue_record> queue(const std::string& name = "default") {
    return db::decode_queue(ask(db::queue_query(name)));
  }
  queue_page queues(const list_queues& what = {}) {
    return db::decode_queues(ask(db::queues_query(what)), what);
  }
  /// Claims until nothing comes: a claim empties one lane at most.
  std::vector<claimed_jobs> drain(int limit = 100, const std::string& queue = "default") {
    std::vector<claimed_jobs> all;
    for (;;) {
      auto batch = claim(limit, queue);
      if (batch.jobs.empty())
        return all;
      all.push_back(std::move(batch));
    }
  }
  /// The next claim, which must give one job.
  claimed_jobs claim_one(const std::string& queue = "default") {
    auto batch = claim(1, queue);
    BOOST_REQUIRE_EQUAL(batch.jobs.size(), 1U);
    return batch;
  }
  claimed_jobs adopt(lease_id lease) {
    return db::decode_claimed(ask(db::adopt_query({node, lease})), {});
  }
  bool start(lease_id lease, job_id id) {
    return db::decode_started(ask(db::start_query({node, lease, id})));
  }
  finished_runs finish(const finish_runs& what) {
    return db::decode_finished(ask(db::finish_query(what)));
  }
  /// Every run of the batch with the same result; the lease is done.
  finished_runs finish(const claimed_jobs& batch, const job_result& result = completed(),
                       std::chrono::milliseconds retry_in = std::chrono::hours{1},
                       bool done = true) {
    return finish(finishing(batch, result, retry_in, done));
  }
  finish_runs finishing(const claimed_jobs& batch, const job_result& result,
                        std::chrono::milliseconds retry_in = std::chrono::hours{1},
                        bool done = true) const {
    finish_runs what{node, {}, {}};
    for (const auto& run : batch.jobs)
      what.runs.push_back(ended(batch, *run, result, retry_in));
    if (done)
      what.done.push_back(batch.lease);
    return what;
  }
  promoted_jobs promote(int limit = 1000) {
    return db::decode_promoted(ask(db::promote_query({limit})));
  }
  rescued_jobs rescue(node_id dead) { return db::decode_rescued(ask(db::rescue_query({dead}))); }
  expired_jobs expire() { return db::decode_expired(ask(db::expire_query())); }
  upkept keep_up() { return db::decode_upkept(ask(db::upkeep_query())); }

  void cancel(job_id id) { ask(db::cancel_query(id)); }
  void retry(job_id id) { ask(db::retry_query(id)); }
  void remove(job_id id) { ask(db::delete_query(id)); }
  std::optional<job_record> find(job_id id) {
    auto job = db::decode_job(ask(db::job_query({id})));
    if (job)
      db::decode_attempts(ask(db::attempts_query(id)), *job);
    return job;
  }
  job_record get(job_id id) {
    auto job = find(id);
    BOOST_REQUIRE(job.has_value());
    return *job;
  }
  job_hold why(job_id id) { return db::decode_why(ask(db::why_query({id}))); }
  std::string state(job_id id) { return std::string{to_string(get(id).state)}; }
  job_page list(const list_jobs& what) { return db::decode_list(ask(db::list_query(what)), what); }

  /// True once this desk's connection waits for somebody's lock: what it was asked is under way.
  bool waits(const test_database& database) const {
    const auto sql = "select wait_event_type from pg_stat_activity where pid = "
                     + std::to_string(on.backend_pid());
    return await_until([&] { return database.value(sql) == "Lock"; });
  }
  /// Sends a question whose answer is waited for later, by later().
  void send(const db::query& q) {
    on.submit(q);
    on.flush();
  }
  /// The answer to send(); a refusal comes as db_failure.
  std::variant<db::result, db::db_failure> later() {
    return std::move(answers(on, 1).front().outcome);
  }
  /// The code of the refusal of what was sent, or errc::none.
  errc later_code() {
    const auto outcome = later();
    const auto* why = std::get_if<db::db_failure>(&outcome);
    return why ? why->code : errc::none;
  }

  db::connection on;
  node_id node;
};

/// What was claimed of limited keys before now was claimed long ago.
inline void make_batches_old(desk& at) {
  at.ask(db::make_query("update troupe.key_batch set taken_at = taken_at - interval '1 hour'"));
}

/// A migrated database and one desk at it.
struct jobs_database {
  test_database database;
  desk at{database.url()};

  void make_old(node_id node) const {
    database.exec("update troupe.node set heartbeat_at = now() - interval '1 minute' where id = "
                  + std::to_string(node.value));
  }
  /// It is not late for as long as a test takes; its next heartbeat ends that.
  void keep_alive(node_id node) const {
    database.exec("update troupe.node set heartbeat_at = clock_timestamp() + interval '1 hour' "
                  "where id = "
                  + std::to_string(node.value));
  }
  /// Nobody is who has not left.
  void keep_alive() const {
    database.exec("update troupe.node set heartbeat_at = clock_timestamp() + interval '1 hour' "
                  "where ended_at is null and heartbeat_at > '-infinity'");
  }
  /// A function that gives up on locks after a moment waits until the test has seen it wait.
  void let_wait(const std::string& function) const {
    database.exec("alter function troupe." + function + " set lock_timeout = '60s'");
  }
  /// Everything deferred is due now.
  void let_time_pass() const {
    database.exec("update troupe.deferred set due_at = now() - interval '1 second'");
  }
  int count(const std::string& table) const {
    return std::stoi(database.value("select count(*) from troupe." + table));
  }
};

} // namespace troupe::tests
