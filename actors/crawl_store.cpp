#include "actors/crawl_store.hpp"

#include "actors/statement.hpp"
#include "db/crawl_statements.hpp"

#include <algorithm>

namespace troupe {

namespace {

using self_ptr = crawl_store_actor::pointer;
using progress_promise = kept_promise<crawl_progress>;

void deliver_progress(self_ptr self, const pool_actor& pool, job_id crawl,
                      const progress_promise& promise) {
  carry_out(self, pool, db::progress_query({crawl}), promise, [=](const db::result& rows) mutable {
    const auto found = db::decode_progress(rows);
    if (found.empty())
      promise.deliver(
          make_error(errc::not_found, "there is no crawl " + std::to_string(crawl.value)));
    else
      promise.deliver(found.front());
  });
}

/// Changes a crawl by one statement, then answers with its progress.
caf::result<crawl_progress> change(self_ptr self, const pool_actor& pool, db::query statement,
                                   job_id crawl) {
  const kept_promise<crawl_progress> promise(self);
  carry_out(self, pool, std::move(statement), promise,
            [=](const db::result&) { deliver_progress(self, pool, crawl, promise); });
  return promise.result();
}

std::vector<job_id> crawls_of(const record_pages& ask) {
  std::vector<job_id> crawls;
  for (const auto& page : ask.pages)
    if (std::find(crawls.begin(), crawls.end(), page.crawl) == crawls.end())
      crawls.push_back(page.crawl);
  return crawls;
}

} // namespace

crawl_store_actor::behavior_type crawl_store(crawl_store_actor::pointer self,
                                             const pool_actor& pool) {
  return {
      guarded([=](const open_crawl& ask) -> caf::result<crawl_progress> {
        return change(self, pool, db::open_crawl_query(ask), ask.crawl);
      }),
      guarded([=](const get_crawl_spec& ask) -> caf::result<crawl_spec> {
        const kept_promise<crawl_spec> promise(self);
        carry_out(self, pool, db::crawl_spec_query(ask.crawl), promise,
                  [promise, crawl = ask.crawl](const db::result& rows) mutable {
                    if (auto spec = db::decode_crawl_spec(rows))
                      promise.deliver(std::move(*spec));
                    else
                      promise.deliver(make_error(
                          errc::not_found, "there is no crawl " + std::to_string(crawl.value)));
                  });
        return promise.result();
      }),
      guarded([=](const record_pages& ask) -> caf::result<recorded_pages> {
        const kept_promise<recorded_pages> promise(self);
        carry_out(self, pool, db::record_query(ask), promise,
                  [=, crawls = crawls_of(ask)](const db::result& rows) mutable {
                    const bool queued = db::decode_recorded(rows);
                    carry_out(
                        self, pool, db::progress_query(crawls), promise,
                        [promise, queued](const db::result& progress) mutable {
                          promise.deliver(recorded_pages{db::decode_progress(progress), queued});
                        });
                  });
        return promise.result();
      }),
      guarded([=](const get_crawl_progress& ask) -> caf::result<crawl_progress> {
        return change(self, pool, db::reconcile_query(ask.crawl), ask.crawl);
      }),
      guarded([=](const close_crawl& ask) -> caf::result<crawl_progress> {
        return change(self, pool, db::close_query(ask.crawl), ask.crawl);
      }),
      guarded([=](const list_items& ask) -> caf::result<item_page> {
        return answer<item_page>(self, pool, db::items_query(ask), db::decode_items);
      }),
  };
}

} // namespace troupe
