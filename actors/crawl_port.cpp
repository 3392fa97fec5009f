#include "actors/crawl_port.hpp"

#include "actors/foreign_thread.hpp"
#include "actors/guard.hpp"

#include <caf/event_based_actor.hpp>

namespace troupe {

namespace {

class actor_crawl_port final : public crawl_port {
public:
  actor_crawl_port(caf::actor_system& system, recorder_actor recorder, crawl_store_actor crawls,
                   store_actor store, executor_actor executor)
      : system_(&system), recorder_(std::move(recorder)), crawls_(std::move(crawls)),
        store_(std::move(store)), executor_(std::move(executor)) {}

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
};

} // namespace

std::unique_ptr<crawl_port> make_crawl_port(caf::actor_system& system, recorder_actor recorder,
                                            crawl_store_actor crawls, store_actor store,
                                            executor_actor executor) {
  return std::make_unique<actor_crawl_port>(system, std::move(recorder), std::move(crawls),
                                            std::move(store), std::move(executor));
}

} // namespace troupe
