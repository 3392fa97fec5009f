// Workers by HTTP as the server speaks for them, two of them at one database.
#pragma once

#include "db/work_statements.hpp"
#include "tests/db/desk.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe::tests {

using namespace std::chrono_literals;

inline const std::string secret(32, 's');

/// A worker as the server speaks for it.
struct worker {
  explicit worker(desk& through, std::string hash = secret) : by(&through) {
    session.hash = std::move(hash);
  }

  void join(std::chrono::milliseconds lease = 15s, std::vector<std::string> queues = {"default"}) {
    join_worker ask{session, "w", std::move(queues)};
    ask.kinds = {"noop"};
    ask.slots = 4;
    ask.version = "1.2";
    ask.lease = lease;
    session.node = db::decode_joined_worker(by->ask(db::join_worker_query(ask))).node;
  }
  claimed_work claim(int limit = 100, const std::string& queue = "default") const {
    const claim_queue ask{session, queue, limit};
    return db::decode_claimed_work(by->ask(db::claim_queue_query(ask)), ask);
  }
  /// Until nothing comes: a claim empties one lane at most.
  std::vector<claimed_job> claim_all(int limit = 100) const {
    std::vector<claimed_job> all;
    for (;;) {
      const auto some = claim(limit).jobs;
      if (some.empty())
        return all;
      all.insert(all.end(), some.begin(), some.end());
    }
  }
  finished_work finish(std::vector<ended_work> runs) const {
    return db::decode_finished_work(by->ask(db::finish_work_query({session, std::move(runs)})));
  }
  /// Also what a span says of them.
  std::vector<told_work> told_of(std::vector<ended_work> runs) const {
    return db::decode_finished_work(
               by->ask(db::finish_work_query({session, std::move(runs), true})))
        .told;
  }
  work_fate finish(const claimed_job& job, job_result result = completed()) const {
    return finish({{job.lease, job.id, job.attempt, std::move(result)}}).fates.at(0);
  }
  work_pulse beat(std::optional<std::vector<job_id>> jobs = {}) const {
    return db::decode_work_pulse(by->ask(db::beat_worker_query({session, std::move(jobs)})));
  }
  reported_work report(record_reports told) const {
    return db::decode_reported_work(by->ask(db::report_work_query({session, std::move(told)})));
  }
  left_worker leave() const {
    return db::decode_left_worker(by->ask(db::leave_worker_query({session})));
  }

  desk* by;
  work_session session;
};

inline bool is_gone(const refused& e) {
  return e.why.code == errc::fenced;
}

struct two_workers : jobs_database {
  desk other{database.url()};
  worker one{at};
  worker two{other, std::string(32, 't')};
  two_workers() {
    one.join();
    two.join();
  }
  void make_leases_old() const {
    database.exec("update troupe.lease set taken_at = taken_at - interval '1 minute'");
  }
  /// Its lease runs out and another node takes its jobs.
  rescued_jobs lose(const worker& who) {
    make_old(who.session.node);
    return at.rescue(who.session.node);
  }
  int leases() const { return count("lease"); }
};

} // namespace troupe::tests
