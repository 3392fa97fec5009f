// A crawl_port in memory: what the real one does in PostgreSQL, in a page of code, answering from
// its own thread as the real one does. Page jobs that it queues are handed to the test.
#pragma once

#include "messages/crawl.hpp"

#include <condition_variable>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

namespace troupe::tests {

class memory_port : public crawl_port {
public:
  /// Runs a page job: id, args. Called on the port's thread.
  using start_page = std::function<void(job_id page, std::string args)>;

  explicit memory_port(start_page start) : start_(std::move(start)) {
    thread_ = std::thread([this] { answer_all(); });
  }
  ~memory_port() override {
    {
      const std::lock_guard lock(guard_);
      ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  memory_port(const memory_port&) = delete;
  memory_port& operator=(const memory_port&) = delete;

  void open(job_id crawl, crawl_spec spec, on_result<crawl_progress> reply) override {
    ask([=, this] {
      auto& c = crawls_[crawl];
      if (c.seen.empty()) {
        c.spec = spec;
        c.progress.crawl = crawl;
        queue(crawl, spec.url, 0);
      }
      reply(c.progress);
    });
  }
  void spec(job_id crawl, on_result<crawl_spec> reply) override {
    ask([=, this] {
      ++spec_reads;
      if (!crawls_.contains(crawl))
        return reply(failure{errc::not_found, "no such crawl"});
      reply(crawls_[crawl].spec);
    });
  }
  void record(page_outcome page, on_result<crawl_progress> reply) override {
    ask([page = std::move(page), reply = std::move(reply), this] {
      auto& c = crawls_[page.crawl];
      if (c.pages.try_emplace(page.page, page).second) {
        ++(page.error.empty() ? c.progress.fetched : c.progress.failed);
        c.progress.bytes += page.bytes;
        for (const auto& url : page.discovered)
          if (page.depth < c.spec.max_depth && !c.progress.closed)
            queue(page.crawl, url, page.depth + 1);
      }
      reply(c.progress);
    });
  }
  void progress(job_id crawl, on_result<crawl_progress> reply) override {
    ask([=, this] {
      ++progress_reads;
      reply(crawls_[crawl].progress);
    });
  }
  void close(job_id crawl, on_result<crawl_progress> reply) override {
    ask([=, this] {
      ++closes;
      crawls_[crawl].progress.closed = true;
      reply(crawls_[crawl].progress);
    });
  }
  void items(job_id crawl, job_id after, int limit,
             on_result<std::vector<item_record>> reply) override {
    ask([=, this] {
      std::vector<item_record> page;
      for (const auto& item : stored_items)
        if (crawl == items_crawl && item.page > after && page.size() < std::size_t(limit))
          page.push_back(item);
      item_pages += page.empty() ? 0 : 1;
      if (on_item_page)
        on_item_page();
      reply(page);
    });
  }
  std::unique_ptr<item_source> all_items(job_id crawl) override {
    struct paged : item_source {
      paged(memory_port& from, job_id of) : port(from), crawl(of) {}
      void next(on_result<std::vector<item_record>> reply) override {
        port.items(
            crawl, *after, 1000, [after = after, reply](result_or<std::vector<item_record>> some) {
              if (const auto* page = std::get_if<0>(&some); page != nullptr && !page->empty())
                *after = page->back().page;
              reply(std::move(some));
            });
      }
      memory_port& port;
      job_id crawl;
      std::shared_ptr<job_id> after = std::make_shared<job_id>(); // outlives it in a call
    };
    return std::make_unique<paged>(*this, crawl);
  }
  void jobs(job_filter filter, job_id before, int limit, on_result<job_page> reply) override {
    ask([=, this] {
      job_page page;
      for (auto at = stored_jobs.rbegin(); at != stored_jobs.rend(); ++at) {
        if ((before.value != 0 && at->id >= before) || (filter.state && *filter.state != at->state)
            || (filter.kind && *filter.kind != at->kind))
          continue;
        if (page.jobs.size() == std::size_t(limit)) {
          page.next = page.jobs.back().id;
          break;
        }
        page.jobs.push_back(*at);
      }
      reply(page);
    });
  }

  std::map<job_id, page_outcome> pages(job_id crawl) {
    std::promise<std::map<job_id, page_outcome>> answer;
    ask([&, crawl] { answer.set_value(crawls_[crawl].pages); });
    return answer.get_future().get();
  }
  /// Adds a crawl without starting its first page.
  void know(job_id crawl, crawl_spec spec) {
    ask([=, this] {
      crawls_[crawl].spec = spec;
      crawls_[crawl].progress.crawl = crawl;
    });
  }

  // Set before use, read after the answer.
  job_id items_crawl;
  std::vector<item_record> stored_items;
  std::vector<job_record> stored_jobs; ///< ascending ids
  std::function<void()> on_item_page;
  int spec_reads = 0;
  int progress_reads = 0;
  int closes = 0;
  int item_pages = 0;

private:
  struct known_crawl {
    crawl_spec spec;
    crawl_progress progress;
    std::set<std::string> seen;
    std::map<job_id, page_outcome> pages;
  };

  void queue(job_id id, const std::string& url, int depth) {
    auto& c = crawls_[id];
    if (c.progress.pages >= c.spec.max_pages || !c.seen.insert(url).second)
      return;
    ++c.progress.pages;
    started_.emplace_back(job_id{++last_page_}, R"({"crawl":")" + std::to_string(id.value)
                                                    + R"(","url":")" + url + R"(","depth":)"
                                                    + std::to_string(depth) + "}");
  }

  void ask(std::function<void()> question) {
    {
      const std::lock_guard lock(guard_);
      questions_.push_back(std::move(question));
    }
    changed_.notify_all();
  }

  void answer_all() {
    std::unique_lock lock(guard_);
    for (;;) {
      changed_.wait(lock, [this] { return ending_ || !questions_.empty(); });
      if (ending_)
        return;
      auto question = std::move(questions_.front());
      questions_.pop_front();
      lock.unlock();
      question();
      const auto started = std::exchange(started_, {});
      for (const auto& [id, args] : started)
        start_(id, args);
      question = nullptr;
      lock.lock();
    }
  }

  start_page start_;
  std::mutex guard_; ///< of questions_ and ending_; the rest is the thread's own
  std::condition_variable changed_;
  std::deque<std::function<void()>> questions_;
  std::vector<std::pair<job_id, std::string>> started_; ///< of the question being answered
  std::map<job_id, known_crawl> crawls_;
  std::int64_t last_page_ = 1000;
  bool ending_ = false;
  std::thread thread_;
};

} // namespace troupe::tests
