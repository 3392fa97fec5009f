#include "actors/crawl_port.hpp"

#include "actors/foreign_thread.hpp"
#include "actors/guard.hpp"
#include "actors/unit_of_work.hpp"
#include "db/copied_rows.hpp"
#include "db/crawl_statements.hpp"

#include <caf/event_based_actor.hpp>

#include <limits>
#include <optional>

namespace troupe {

namespace {

/// A transaction of its own that copies the rows out, 64 KiB at a time.
class copied_items final : public item_source {
public:
  copied_items(caf::actor_system& system, const work_peers& peers, job_id crawl)
      : unit_(begin(system, peers)), heard_(std::make_shared<heard>()) {
    ask(db::run_query{db::items_query({crawl, {}, 0})}, [heard = heard_](const work_answer& told) {
      if (const auto* columns = std::get_if<db::work_reply>(&told.outcome))
        heard->rows.emplace(std::get<db::result>(*columns));
    });
    ask(db::copy_rows{db::as_copy(db::items_query({crawl, {}, std::numeric_limits<int>::max()})),
                      false, 1},
        [heard = heard_](const work_answer& told) { heard->end = told.outcome; });
  }
  copied_items(const copied_items&) = delete;
  copied_items& operator=(const copied_items&) = delete;
  ~copied_items() override { caf::anon_send(unit_, halt_atom_v); }

  void next(on_result<std::vector<item_record>> reply) override {
    ask(db::copy_step{1, db::copy_step::kind::next},
        [heard = heard_, reply = std::move(reply)](work_answer told) {
          if (std::holds_alternative<failure>(told.outcome) && heard->end)
            told.outcome = *heard->end; // that is why there is no next one
          if (auto* why = std::get_if<failure>(&told.outcome))
            return reply(std::move(*why));
          const auto* bytes = std::get_if<std::string>(&std::get<db::work_reply>(told.outcome));
          reply(bytes == nullptr ? std::vector<item_record>{} : read(*heard, *bytes));
        });
  }

private:
  /// Written and read on the unit's thread, answer by answer.
  struct heard {
    std::optional<db::copied_rows> rows;
    std::optional<std::variant<failure, db::work_reply>> end;
  };

  static unit_of_work_actor begin(caf::actor_system& system, const work_peers& peers) {
    const foreign_thread here;
    work_options options;
    options.max_duration = std::chrono::hours{24};
    options.resolve = false;
    return system.spawn(unit_of_work, peers, options);
  }
  static result_or<std::vector<item_record>> read(heard& heard, const std::string& bytes) {
    try {
      return db::decode_items(heard.rows.value().take(bytes)).items;
    } catch (const std::exception& e) {
      return failure{errc::internal, e.what()};
    }
  }
  void ask(db::work_request what, std::function<void(work_answer)> then) const {
    caf::anon_send(unit_, std::make_shared<work_call>(std::move(what), 0, std::move(then)));
  }

  unit_of_work_actor unit_;
  std::shared_ptr<heard> heard_;
};

class actor_crawl_port final : public crawl_port {
public:
  actor_crawl_port(caf::actor_system& system, recorder_actor recorder, crawl_store_actor crawls,
                   store_actor store, executor_actor executor, work_peers work)
      : system_(&system), recorder_(std::move(recorder)), crawls_(std::move(crawls)),
        store_(std::move(store)), executor_(std::move(executor)), work_(std::move(work)) {}

  void open(job_id crawl, crawl_spec spec, on_result<crawl_progress> reply) override {
    ask<crawl_progress>(
        crawls_, open_crawl{crawl, std::move(spec)},
        [reply = std::move(reply), executor = executor_](result_or<crawl_progress> answer) {
          if (std::holds_alternative<crawl_progress>(answer))
            caf::anon_send(executor, wake_atom_v, std::string{page_queue});
          reply(std::move(answer));
        });
  }
  void spec(job_id crawl, on_result<crawl_spec> reply) override {
    ask<crawl_spec>(crawls_, get_crawl_spec{crawl}, std::move(reply));
  }
  void record(page_outcome page, on_result<crawl_progress> reply) override {
    caf::anon_send(recorder_, std::make_shared<page_to_record>(
                                  page_to_record{std::move(page), std::move(reply)}));
  }
  void progress(job_id crawl, on_result<crawl_progress> reply) override {
    ask<crawl_progress>(crawls_, get_crawl_progress{crawl}, std::move(reply));
  }
  void close(job_id crawl, on_result<crawl_progress> reply) override {
    ask<crawl_progress>(crawls_, close_crawl{crawl}, std::move(reply));
  }
  void items(job_id crawl, job_id after, int limit,
             on_result<std::vector<item_record>> reply) override {
    ask<item_page>(crawls_, list_items{crawl, after, limit},
                   [reply = std::move(reply)](result_or<item_page> answer) {
                     if (auto* page = std::get_if<item_page>(&answer))
                       reply(std::move(page->items));
                     else
                       reply(std::get<failure>(std::move(answer)));
                   });
  }
  std::unique_ptr<item_source> all_items(job_id crawl) override {
    return std::make_unique<copied_items>(*system_, work_, crawl);
  }
  void jobs(job_filter filter, job_id before, int limit, on_result<job_page> reply) override {
    ask<job_page>(store_, list_jobs{std::move(filter), before, limit}, std::move(reply));
  }

private:
  /// One short-lived actor per question: it asks, calls back, and ends.
  template<class Reply, class Target, class Ask>
  void ask(const Target& target, Ask question, on_result<Reply> reply) {
    const foreign_thread here;
    system_->spawn([target, question = std::move(question),
                    reply = std::move(reply)](caf::event_based_actor* self) {
      self->request(target, caf::infinite, question)
          .then([reply](Reply& answer) { reply(std::move(answer)); },
                [reply](caf::error& error) { reply(to_failure(error)); });
    });
  }

  caf::actor_system* system_;
  recorder_actor recorder_;
  crawl_store_actor crawls_;
  store_actor store_;
  executor_actor executor_;
  work_peers work_;
};

} // namespace

std::unique_ptr<crawl_port> make_crawl_port(caf::actor_system& system, recorder_actor recorder,
                                            crawl_store_actor crawls, store_actor store,
                                            executor_actor executor, work_peers work) {
  return std::make_unique<actor_crawl_port>(system, std::move(recorder), std::move(crawls),
                                            std::move(store), std::move(executor), std::move(work));
}

} // namespace troupe
