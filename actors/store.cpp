#include "actors/store.hpp"

#include "actors/statement.hpp"
#include "db/bulk_statements.hpp"
#include "db/job_statements.hpp"
#include "db/node_statements.hpp"
#include "db/queue_statements.hpp"
#include "db/report_statements.hpp"
#include "db/retention_statements.hpp"
#include "db/token_statements.hpp"
#include "db/why.hpp"

namespace troupe {

namespace {

using self_ptr = store_actor::pointer;
using job_promise = kept_promise<job_record>;

/// Answers with the job and its attempts. A job without an attempt needs one statement only.
void deliver_job(self_ptr self, const pool_actor& pool, const get_job& ask,
                 const job_promise& promise) {
  const auto id = ask.id;
  carry_out(self, pool, db::job_query(ask), promise, [=](const db::result& rows) mutable {
    auto job = db::decode_job(rows);
    if (!job) {
      promise.deliver(make_error(errc::not_found, no_such_job(id)));
    } else if (job->attempt == 0) {
      promise.deliver(std::move(*job));
    } else {
      auto found = std::make_shared<job_record>(std::move(*job));
      carry_out(self, pool, db::attempts_query(id), promise,
                [promise, found](const db::result& attempts) mutable {
                  db::decode_attempts(attempts, *found);
                  promise.deliver(std::move(*found));
                });
    }
  });
}

/// Changes a job by one statement, then answers with the job as it is afterwards.
caf::result<job_record> change(self_ptr self, const pool_actor& pool, db::query statement,
                               job_id id) {
  const kept_promise<job_record> promise(self);
  carry_out(self, pool, std::move(statement), promise,
            [=](const db::result&) { deliver_job(self, pool, {id}, promise); });
  return promise.result();
}

template<class Ask>
auto changing_job(self_ptr self, const pool_actor& pool,
                  db::query (*statement)(job_id, const asker&)) {
  return guarded([=](const Ask& ask) -> caf::result<job_record> {
    return change(self, pool, statement(ask.id, ask.by), ask.id);
  });
}

void deliver_queue(self_ptr self, const pool_actor& pool, const std::string& name,
                   const kept_promise<queue_record>& promise) {
  carry_out(self, pool, db::queue_query(name), promise, [=](const db::result& rows) {
    auto queue = db::decode_queue(rows);
    if (queue)
      promise.deliver(std::move(*queue));
    else
      promise.deliver(make_error(errc::not_found, "there is no queue " + name));
  });
}

auto reading_queue(store_actor::pointer self, const pool_actor& pool) {
  return guarded([=](const get_queue& ask) -> caf::result<queue_record> {
    const kept_promise<queue_record> promise(self);
    deliver_queue(self, pool, ask.name, promise);
    return promise.result();
  });
}

auto reading_node(self_ptr self, const pool_actor& pool) {
  return guarded([=](const get_node& ask) -> caf::result<node_record> {
    const kept_promise<node_record> promise(self);
    carry_out(self, pool, db::node_query(ask), promise,
              [promise, name = ask.name](const db::result& rows) {
                auto node = db::decode_node(rows);
                if (node)
                  promise.deliver(std::move(*node));
                else
                  promise.deliver(make_error(errc::not_found, "there is no node " + name));
              });
    return promise.result();
  });
}

auto draining_node(self_ptr self, const pool_actor& pool) {
  return guarded([=](const drain_node& ask) -> caf::result<node_record> {
    const kept_promise<node_record> promise(self);
    carry_out(self, pool, db::drain_node_query(ask), promise, [=](const db::result& drained) {
      carry_out(self, pool, db::drained_node_query(drained), promise,
                [promise, name = ask.name](const db::result& rows) {
                  auto node = db::decode_node(rows);
                  if (node && node->name == name)
                    promise.deliver(std::move(*node));
                  else
                    promise.deliver(make_error(errc::conflict, "node " + name + " has ended"));
                });
    });
    return promise.result();
  });
}

void deliver_bulk(self_ptr self, const pool_actor& pool, std::int64_t id,
                  const kept_promise<bulk_record>& promise, key_use use = key_use::none) {
  carry_out(self, pool, db::bulk_query(id), promise, [=](const db::result& rows) {
    auto found = db::decode_bulk(rows);
    if (!found)
      return promise.deliver(
          make_error(errc::not_found, "there is no bulk operation " + std::to_string(id)));
    found->use = use;
    promise.deliver(std::move(*found));
  });
}

auto starting_bulk(self_ptr self, const pool_actor& pool) {
  return guarded([=](const start_bulk& ask) -> caf::result<bulk_record> {
    const kept_promise<bulk_record> promise(self);
    carry_out(self, pool, db::start_bulk_query(ask), promise, [=](const db::result& rows) {
      const auto begun = db::decode_started_bulk(rows);
      if (begun.use == key_use::refused) {
        bulk_record none;
        none.use = begun.use;
        return promise.deliver(std::move(none));
      }
      deliver_bulk(self, pool, begun.id, promise, begun.use);
    });
    return promise.result();
  });
}

auto reading_bulk(self_ptr self, const pool_actor& pool) {
  return guarded([=](const get_bulk& ask) -> caf::result<bulk_record> {
    const kept_promise<bulk_record> promise(self);
    deliver_bulk(self, pool, ask.id, promise);
    return promise.result();
  });
}

auto cancelling_bulk(self_ptr self, const pool_actor& pool) {
  return guarded([=](const cancel_bulk& ask) -> caf::result<bulk_record> {
    const kept_promise<bulk_record> promise(self);
    carry_out(self, pool, db::cancel_bulk_query(ask.id, ask.by), promise,
              [=, id = ask.id](const db::result&) { deliver_bulk(self, pool, id, promise); });
    return promise.result();
  });
}

/// For a question that changes a queue by one statement: the queue as it is afterwards.
template<class Ask>
auto changing_queue(self_ptr self, const pool_actor& pool, db::query (*statement)(const Ask&)) {
  return guarded([=](const Ask& ask) -> caf::result<queue_record> {
    const kept_promise<queue_record> promise(self);
    carry_out(self, pool, statement(ask), promise, [=, name = ask.name](const db::result&) {
      deliver_queue(self, pool, name, promise);
    });
    return promise.result();
  });
}

/// For a question that one statement answers.
template<class Ask, class Reply>
auto asking(self_ptr self, const pool_actor& pool, db::query (*statement)(const Ask&),
            Reply (*decode)(const db::result&)) {
  return guarded([=](const Ask& ask) -> caf::result<Reply> {
    return answer<Reply>(self, pool, statement(ask), decode);
  });
}

/// The same, where nothing is said with the question.
template<class Ask, class Reply>
auto asking(self_ptr self, const pool_actor& pool, db::query (*statement)(),
            Reply (*decode)(const db::result&)) {
  return guarded([=](const Ask&) -> caf::result<Reply> {
    return answer<Reply>(self, pool, statement(), decode);
  });
}

/// The same, where the answer says how much was asked for.
template<class Ask, class Reply>
auto asking(self_ptr self, const pool_actor& pool, db::query (*statement)(const Ask&),
            Reply (*decode)(const db::result&, const Ask&)) {
  return guarded([=](const Ask& ask) -> caf::result<Reply> {
    return answer<Reply>(self, pool, statement(ask),
                         [=](const db::result& rows) { return decode(rows, ask); });
  });
}

auto finding_token(self_ptr self, const pool_actor& pool) {
  return guarded([=](const find_token& ask) -> caf::result<found_token> {
    const kept_promise<found_token> promise(self);
    carry_out(self, pool, db::find_token_query(ask), promise, [=](const db::result& rows) {
      auto found = db::decode_found_token(rows);
      if (found)
        promise.deliver(std::move(*found));
      else
        promise.deliver(make_error(errc::not_found, "there is no such token"));
    });
    return promise.result();
  });
}

/// A claim that holds a queue's row answers before the jobs are read; they are asked for then.
auto claiming(self_ptr self, const pool_actor& pool) {
  return guarded([=](const claim_jobs& ask) -> caf::result<claimed_jobs> {
    const kept_promise<claimed_jobs> promise(self);
    carry_out(self, pool, db::claim_query(ask), promise,
              [=, queue = ask.queue](const db::result& rows) {
                auto claim = std::make_shared<claimed_jobs>(db::decode_claimed(rows, queue));
                auto rest = db::leased_query(rows);
                if (!rest) {
                  promise.deliver(std::move(*claim));
                  return;
                }
                carry_out(self, pool, *std::move(rest), promise,
                          [promise, claim, queue](const db::result& jobs) {
                            db::add_leased(jobs, queue, *claim);
                            promise.deliver(std::move(*claim));
                          });
              });
    return promise.result();
  });
}

/// Those that there are, with their attempts.
auto getting_jobs(self_ptr self, const pool_actor& pool) {
  return guarded([=](const get_jobs& ask) -> caf::result<found_jobs> {
    const kept_promise<found_jobs> promise(self);
    carry_out(self, pool, db::jobs_query(ask), promise, [=](const db::result& rows) {
      auto found = std::make_shared<found_jobs>(found_jobs{db::decode_jobs(rows)});
      std::vector<job_id> tried;
      for (const auto& job : found->jobs)
        if (job.attempt > 0)
          tried.push_back(job.id);
      if (tried.empty()) {
        promise.deliver(std::move(*found));
        return;
      }
      carry_out(self, pool, db::attempts_query(tried), promise,
                [promise, found](const db::result& attempts) {
                  db::decode_attempts(attempts, found->jobs);
                  promise.deliver(std::move(*found));
                });
    });
    return promise.result();
  });
}

auto leaving(self_ptr self, const pool_actor& pool) {
  return guarded([=](const leave_node& ask) -> caf::result<void> {
    const kept_promise<void> promise(self);
    carry_out(self, pool, db::leave_query(ask), promise,
              [promise](const db::result&) mutable { promise.deliver(caf::unit); });
    return promise.result();
  });
}

} // namespace

std::string no_such_job(job_id id) {
  return "there is no job " + std::to_string(id.value);
}

store_actor::behavior_type store(store_actor::pointer self, const pool_actor& pool) {
  return {
      guarded([=](const enqueue_jobs_ptr& ask) -> caf::result<enqueued_jobs> {
        return answer<enqueued_jobs>(
            self, pool, db::enqueue_query(*ask, db::rejections::told),
            [ask](const db::result& rows) { return db::decode_enqueued(rows, *ask); });
      }),
      guarded([=](const get_job& ask) -> caf::result<job_record> {
        const kept_promise<job_record> promise(self);
        deliver_job(self, pool, ask, promise);
        return promise.result();
      }),
      getting_jobs(self, pool),
      asking(self, pool, db::list_query, db::decode_list),
      changing_job<cancel_job>(self, pool, db::cancel_query),
      changing_job<retry_job>(self, pool, db::retry_query),
      guarded([=](const delete_job& ask) -> caf::result<deleted_job> {
        return answer<deleted_job>(self, pool, db::delete_query(ask.id, ask.by),
                                   [id = ask.id](const db::result&) { return deleted_job{id}; });
      }),
      guarded([=](const edit_job& ask) -> caf::result<job_record> {
        return change(self, pool, db::edit_query(ask), ask.id);
      }),
      starting_bulk(self, pool),
      asking(self, pool, db::preview_bulk_query, db::decode_bulk_preview),
      reading_bulk(self, pool),
      asking(self, pool, db::bulks_query, db::decode_bulks),
      cancelling_bulk(self, pool),
      asking<step_bulk>(self, pool, db::step_bulk_query, db::decode_stepped),
      asking(self, pool, db::log_query, db::decode_log),
      asking(self, pool, db::watch_query, db::decode_sights),
      asking(self, pool, db::why_query, db::decode_why),
      reading_queue(self, pool),
      asking(self, pool, db::queues_query, db::decode_queues),
      asking(self, pool, db::counts_query, db::decode_counts),
      changing_queue(self, pool, db::pause_query),
      changing_queue(self, pool, db::limit_query),
      reading_node(self, pool),
      asking(self, pool, db::nodes_query, db::decode_nodes),
      draining_node(self, pool),
      asking<get_retention>(self, pool, db::retention_query, db::decode_retention),
      asking(self, pool, db::change_ages_query, db::decode_ages),
      asking(self, pool, db::forget_ages_query, db::decode_ages),
      finding_token(self, pool),
      asking(self, pool, db::create_token_query, db::decode_token),
      asking(self, pool, db::tokens_query, db::decode_tokens),
      asking(self, pool, db::revoke_token_query, db::decode_token),
      asking(self, pool, db::audit_query, db::decode_audit),
      asking(self, pool, db::join_query, db::decode_join),
      leaving(self, pool),
      asking(self, pool, db::beat_query, db::decode_pulse),
      claiming(self, pool),
      asking(self, pool, db::enqueue_here_query, db::decode_enqueued_here),
      guarded([=](const adopt_lease& ask) -> caf::result<claimed_jobs> {
        return answer<claimed_jobs>(self, pool, db::adopt_query(ask), [](const db::result& rows) {
          return db::decode_claimed(rows, {});
        });
      }),
      asking(self, pool, db::start_query, db::decode_started),
      asking(self, pool, db::finish_query, db::decode_finished),
      asking(self, pool, db::report_query, db::decode_reported),
      asking(self, pool, db::promote_query, db::decode_promoted),
      asking(self, pool, db::rescue_query, db::decode_rescued),
      asking<measure_database>(self, pool, db::measure_query, db::decode_measures),
      asking<upkeep>(self, pool, db::upkeep_query, db::decode_upkept),
      asking<expire_jobs>(self, pool, db::expire_query, db::decode_expired),
      asking<probe_database>(self, pool, db::probe_query, db::decode_probe),
  };
}

} // namespace troupe
