#include "handlers/scrape.hpp"

#include "handlers/scrape_page.hpp"

#include <array>
#include <cstdio>
#include <utility>

namespace troupe {

namespace {

std::string summary(const crawl_progress& p, std::chrono::steady_clock::duration taken) {
  std::array<char, 256> text{};
  std::snprintf(text.data(), text.size(),
                R"({"pages":%lld,"fetched":%lld,"failed":%lld,"bytes":%lld,"seconds":%.3f})",
                static_cast<long long>(p.pages), static_cast<long long>(p.fetched),
                static_cast<long long>(p.failed), static_cast<long long>(p.bytes),
                std::chrono::duration<double>(taken).count());
  return text.data();
}

std::string how_far(const crawl_progress& p) {
  auto text = std::to_string(p.fetched + p.failed) + " of " + std::to_string(p.pages)
              + " pages known by now";
  if (p.failed > 0)
    text += ", " + std::to_string(p.failed) + " failed";
  return text;
}

/// One run of `scrape`: opens the crawl and waits for its end. Everything happens on the loop's
/// thread; something of it is always armed or on its way, and holds it, until end().
class crawl_wait : public std::enable_shared_from_this<crawl_wait> {
public:
  crawl_wait(std::shared_ptr<page_room> room, job_run_ptr run, completion done)
      : room_(std::move(room)), run_(std::move(run)), done_(std::move(done)) {}

  void start(crawl_spec spec) {
    began_ = std::chrono::steady_clock::now();
    timer_ = loop().timer();
    room_->live.add(run_->id, [weak = weak_from_this(), &l = loop()](const crawl_progress& p) {
      l.post([weak, p] {
        if (auto self = weak.lock())
          self->heard(p);
      });
    });
    on_stop_.emplace(run_->stop, [weak = weak_from_this(), &l = loop()] {
      l.post([weak] {
        if (auto self = weak.lock())
          self->stopped();
      });
    });
    port().open(run_->id, std::move(spec), to_loop<crawl_progress>(&crawl_wait::opened));
  }

private:
  io_loop& loop() { return room_->deps.loop; }
  crawl_port& port() { return room_->deps.port; }

  /// Brings the port's answer to the loop's thread.
  template<class T>
  on_result<T> to_loop(void (crawl_wait::*then)(const result_or<T>&)) {
    return [self = shared_from_this(), then](result_or<T> answer) {
      self->loop().post([self, then, answer = std::move(answer)] {
        if (!self->ended_)
          ((*self).*then)(answer);
      });
    };
  }

  void opened(const result_or<crawl_progress>& answer) {
    if (const auto* why = std::get_if<failure>(&answer)) {
      const auto reason = "the crawl could not be opened: " + why->detail;
      return end(why->code == errc::invalid_argument ? discarded(reason) : failed(reason));
    }
    heard(std::get<crawl_progress>(answer));
    wait();
  }

  void wait() {
    if (ended_)
      return;
    timer_->after(room_->deps.options.progress_interval, [self = shared_from_this()] {
      self->port().progress(self->run_->id, self->to_loop<crawl_progress>(&crawl_wait::progressed));
    });
  }

  void progressed(const result_or<crawl_progress>& answer) {
    if (const auto* progress = std::get_if<crawl_progress>(&answer))
      heard(*progress);
    else if (const auto& why = std::get<failure>(answer); why.code == errc::not_found)
      return end(discarded("the crawl is gone: " + why.detail));
    wait(); // any other failure passes: the database comes back, or the job's node is declared dead
  }

  void heard(const crawl_progress& progress) {
    if (ended_)
      return;
    if (progress.pages > 0)
      run_->progress(100.0 * static_cast<double>(progress.fetched + progress.failed)
                         / static_cast<double>(progress.pages),
                     how_far(progress));
    if (progress.finished())
      end(completed(summary(progress, std::chrono::steady_clock::now() - began_)));
  }

  /// A stop token says "stop", not why. Only a cancelled crawl is closed: when the engine stops or
  /// the lease is lost, the pages stay and the crawl goes on with its next run.
  void stopped() {
    if (ended_ || std::exchange(stopping_, true))
      return;
    job_filter cancelled;
    cancelled.state = job_state::cancelled;
    cancelled.kind = run_->kind;
    port().jobs(cancelled, job_id{run_->id.value + 1}, 1,
                to_loop<job_page>(&crawl_wait::asked_why));
  }

  void asked_why(const result_or<job_page>& answer) {
    const auto* page = std::get_if<job_page>(&answer);
    const bool cancelled =
        page != nullptr && !page->jobs.empty() && page->jobs.front().id == run_->id;
    if (!cancelled)
      return end(failed("stopped while waiting for its pages"));
    port().close(run_->id, to_loop<crawl_progress>(&crawl_wait::closed));
  }

  void closed(const result_or<crawl_progress>& answer) {
    const auto* why = std::get_if<failure>(&answer);
    end(failed(why == nullptr ? "cancelled" : "cancelled; its pages could not be: " + why->detail));
  }

  void end(job_result result) {
    ended_ = true;
    room_->live.remove(run_->id);
    timer_->cancel();
    done_(std::move(result));
  }

  std::shared_ptr<page_room> room_;
  job_run_ptr run_;
  completion done_;
  std::chrono::steady_clock::time_point began_;
  std::unique_ptr<io_timer> timer_;
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;
  bool stopping_ = false;
  bool ended_ = false;
};

} // namespace

void add_scrape(handler_table& kinds, const scrape_deps& deps) {
  auto room = std::make_shared<page_room>(deps);
  kinds["scrape"] = [room](job_run_ptr run, completion done) {
    auto args = read_scrape_args(run->args);
    if (const auto* bad = std::get_if<bad_args>(&args))
      return done(discarded(bad->reason));
    auto waiting = std::make_shared<crawl_wait>(room, std::move(run), std::move(done));
    room->deps.loop.post(
        [waiting, spec = std::get<crawl_spec>(std::move(args))] { waiting->start(spec); });
  };
  kinds["scrape.page"] = [room](job_run_ptr run, completion done) {
    std::make_shared<page_visit>(room, std::move(run), std::move(done))->start();
  };
}

} // namespace troupe
