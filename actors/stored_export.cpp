#include "actors/stored_export.hpp"

#include "actors/foreign_thread.hpp"
#include "actors/run_work.hpp"
#include "actors/statement.hpp"
#include "db/stored_export_statements.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

/// Of one read: what a slow reader holds in memory.
constexpr std::int64_t piece_bytes = 64LL * 1024;

/// Answers once, also when the actor that would have is ended before.
template<class T>
class answer_way {
public:
  explicit answer_way(on_result<T> to) : to_(std::move(to)) {}
  answer_way(const answer_way&) = delete;
  answer_way& operator=(const answer_way&) = delete;
  ~answer_way() { deliver(result_or<T>{failure{errc::stopping, "the engine is stopping"}}); }

  void deliver(result_or<T> what) {
    if (to_)
      std::exchange(to_, nullptr)(std::move(what));
  }
  void deliver(const caf::error& why) { deliver(result_or<T>{to_failure(why)}); }

private:
  on_result<T> to_;
};

/// As statement.hpp's promises have it.
template<class T>
struct shared_way {
  std::shared_ptr<answer_way<T>> to;
  template<class What>
  void deliver(What&& what) const {
    to->deliver(std::forward<What>(what));
  }
};

/// One short-lived actor per question: it asks POOL, calls back, and ends.
template<class T, class Decode>
void ask(caf::actor_system& system, const pool_actor& pool, db::query question, on_result<T> reply,
         Decode decode) {
  const foreign_thread here;
  const shared_way<T> way{std::make_shared<answer_way<T>>(std::move(reply))};
  system.spawn([pool, way, decode,
                question = std::move(question)](caf::event_based_actor* self) mutable {
    carry_out(self, pool, std::move(question), way,
              [way, decode](const db::result& rows) { way.deliver(result_or<T>{decode(rows)}); });
  });
}

class file_source final : public text_source {
public:
  file_source(caf::actor_system& system, pool_actor pool, job_id id, int attempt,
              std::int64_t begin, std::int64_t end)
      : system_(&system), pool_(std::move(pool)), id_(id), attempt_(attempt),
        at_(std::make_shared<std::int64_t>(begin)), end_(end) {}

  void next(std::function<void(piece)> reply) override {
    if (*at_ >= end_)
      return reply(std::optional<std::string>{});
    const auto most = std::min(piece_bytes, end_ - *at_);
    ask<std::optional<std::string>>(
        *system_, pool_, db::read_export_query(id_, attempt_, *at_, static_cast<int>(most)),
        [at = at_, reply = std::move(reply)](result_or<std::optional<std::string>> told) {
          if (const auto* why = std::get_if<failure>(&told))
            return reply(*why);
          auto& bytes = std::get<std::optional<std::string>>(told);
          if (!bytes || bytes->empty())
            return reply(failure{errc::not_found, "the file has gone meanwhile"});
          *at += static_cast<std::int64_t>(bytes->size());
          reply(std::move(bytes));
        },
        db::decode_export_bytes);
  }

private:
  caf::actor_system* system_;
  pool_actor pool_;
  job_id id_;
  int attempt_;
  std::shared_ptr<std::int64_t> at_; ///< one call at a time, and an answer before the next
  std::int64_t end_;
};

class actor_stored_export_port final : public stored_export_port {
public:
  actor_stored_export_port(caf::actor_system& system, work_peers work, export_bounds bounds)
      : system_(&system), work_(std::move(work)), bounds_(bounds) {}

  void start(export_order order, std::string key, on_result<started_export> reply) override {
    ask<started_export>(
        *system_, work_.pool, db::start_export_query(order, key, bounds_),
        [executor = work_.executor, reply = std::move(reply)](result_or<started_export> told) {
          if (std::holds_alternative<started_export>(told))
            caf::anon_send(executor, wake_atom_v, std::string{export_queue});
          reply(std::move(told));
        },
        db::decode_started_export);
  }
  void list(list_exports what, on_result<export_page> reply) override {
    ask<export_page>(
        *system_, work_.pool, db::exports_query(what), std::move(reply),
        [limit = what.limit](const db::result& rows) { return db::decode_exports(rows, limit); });
  }
  void find(job_id id, on_result<export_record> reply) override {
    ask<export_page>(
        *system_, work_.pool, db::find_export_query(id),
        [id, reply = std::move(reply)](result_or<export_page> told) {
          if (const auto* why = std::get_if<failure>(&told))
            return reply(*why);
          auto& found = std::get<export_page>(told).exports;
          if (found.empty())
            return reply(
                failure{errc::not_found, "there is no export " + std::to_string(id.value)});
          reply(std::move(found.front()));
        },
        [](const db::result& rows) { return db::decode_exports(rows, 1); });
  }
  std::unique_ptr<text_source> read(job_id id, const stored_file& file, std::int64_t begin,
                                    std::int64_t end) override {
    return std::make_unique<file_source>(*system_, work_.pool, id, file.attempt, begin, end);
  }

  void begin(job_id id, int attempt, on_result<std::optional<export_order>> reply) override {
    ask<std::optional<export_order>>(*system_, work_.pool, db::begin_export_query(id, attempt),
                                     std::move(reply), db::decode_export_order);
  }
  void put(job_id id, int attempt, int nth, std::string bytes,
           on_result<chunk_fate> reply) override {
    ask<chunk_fate>(*system_, work_.pool, db::put_export_query(id, attempt, nth, bytes, bounds_),
                    std::move(reply), db::decode_chunk_fate);
  }
  void keep(job_run_ptr run, stored_file file, on_result<bool> reply) override {
    auto* work = dynamic_cast<run_work*>(run->work.get());
    if (work == nullptr)
      return reply(failure{errc::internal, "this run has no transaction"});
    caf::anon_send(work->unit(), std::make_shared<work_call>(
                                     db::run_query{db::keep_export_query(run->id, file, bounds_)},
                                     0, [run, reply = std::move(reply)](const work_answer& told) {
                                       if (const auto* why = std::get_if<failure>(&told.outcome))
                                         reply(*why);
                                       else
                                         reply(true);
                                     }));
  }

private:
  caf::actor_system* system_;
  work_peers work_;
  export_bounds bounds_;
};

} // namespace

std::unique_ptr<stored_export_port> make_stored_export_port(caf::actor_system& system,
                                                            work_peers work, export_bounds bounds) {
  return std::make_unique<actor_stored_export_port>(system, std::move(work), bounds);
}

} // namespace troupe
