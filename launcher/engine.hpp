// The embedding API: a whole Troupe node inside your process.
//
//   troupe::engine engine;                              // its own private PostgreSQL
//   engine.handle("greet", [](const troupe::job_run& run) {
//     return troupe::completed(run.args);
//   });
//   engine.start();
//   auto id = engine.enqueue({.kind = "greet", .args = R"({"name":"Ada"})"});
//   auto job = engine.wait(id, std::chrono::seconds{10});
//   engine.stop();
//
// Members may be called from any thread that is not the engine's own. What fails throws
// engine_error with a sentence that says what to do.
#pragma once

#include "launcher/copy.hpp"
#include "launcher/engine_options.hpp"
#include "launcher/session.hpp"
#include "launcher/transaction.hpp"
#include "messages/counters.hpp"
#include "messages/crawl.hpp"
#include "messages/database_metrics.hpp"
#include "messages/handler.hpp"
#include "messages/health.hpp"
#include "messages/requests.hpp"

#include <memory>
#include <string>
#include <vector>

namespace troupe {

struct enqueue_options {
  /// Names this request: made again within a day, it gives the same ids and stores nothing.
  /// errc::conflict when the key belongs to a request with other jobs.
  std::string idempotency_key = {};
};

class engine {
public:
  /// errc::invalid_argument names every key of options.database that is wrong.
  explicit engine(engine_options options = {});
  /// Stops.
  ~engine();
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  /// Runs jobs of this kind on a worker thread. Before start().
  void handle(const std::string& kind, blocking_handler handler, kind_options how = {});
  /// Starts jobs of this kind on an actor's thread; the handler must return at once. Before
  /// start().
  void handle_async(const std::string& kind, async_handler handler, kind_options how = {});

  /// Blocks until the database is migrated, connections are up and, with http, requests are
  /// answered. The addresses are taken before all else (errc::invalid_argument when they cannot be
  /// had): what connects meanwhile waits.
  void start();
  /// Claims nothing more, lets running jobs finish for the grace time, asks those left to stop, and
  /// leaves what remains to be rescued. Until then HTTP answers probes and reads; changes get 503.
  /// True when nothing was left running. A handler that does not end even then, seconds after it
  /// was asked to, cannot be left behind: the process ends with status 3.
  bool stop();

  /// Whatever the HTTP API asks, and its answer, which may be a failure; the calls below do it for
  /// most of that.
  api_reply ask(api_request request);

  /// Answered after the commit. A unique job whose key another one has: that one's id, or
  /// errc::conflict; see messages/job.hpp.
  job_id enqueue(job_spec job, const enqueue_options& options = {});
  std::vector<job_id> enqueue_all(std::vector<job_spec> jobs, const enqueue_options& options = {});
  /// With its attempts, and how far it is.
  job_record get(job_id id);
  /// What its runs said by job_run::log, from behind line `after`.
  log_page log(job_id id, std::int64_t after = 0, int limit = 100);
  /// Why it does not run: the one thing that holds it.
  job_hold why(job_id id);
  job_page list(const job_filter& filter, job_id before = {}, int limit = 50);
  job_record cancel(job_id id);
  job_record retry(job_id id);
  void remove(job_id id);
  /// Changes what is given of a job that waits; errc::conflict when it does not.
  job_record edit(const edit_job& what);
  /// Begins an operation on many jobs, and says how far it is; see docs/bulk.md.
  bulk_record bulk(const bulk_request& what);
  bulk_record bulk(std::int64_t id);
  /// The job once it is final; errc::timed_out when it is not by then.
  job_record wait(job_id id, std::chrono::milliseconds limit);

  /// The queue afterwards; see docs/queues.md. A drain is a pause, and nothing running any more.
  queue_record queue(const std::string& name);
  queue_record pause(const std::string& queue);
  queue_record resume(const std::string& queue);
  queue_record limit(const limit_queue& what);
  queue_record limit(const std::string& queue, std::optional<int> concurrency) {
    return limit({queue, std::optional{concurrency}, {}});
  }
  queue_record limit_rate(const std::string& queue, std::optional<job_rate> rate) {
    return limit({queue, {}, std::optional{rate}});
  }
  /// Of the jobs of each limit_key of the queue.
  queue_record limit_keys(const std::string& queue, std::optional<int> concurrency) {
    return limit({queue, {}, {}, std::optional{concurrency}});
  }
  queue_record limit_key_rate(const std::string& queue, std::optional<job_rate> rate) {
    return limit({queue, {}, {}, {}, std::optional{rate}});
  }
  /// Beyond so many that wait, enqueue throws errc::overloaded.
  queue_record limit_waiting(const std::string& queue, std::optional<int> most) {
    limit_queue what{queue};
    what.max_waiting.emplace(most);
    return limit(what);
  }
  /// How many jobs are in each state, of all queues after one by name or only of one.
  counts_page counts(const get_counts& what = {});

  /// One job after the other, on all nodes together; see docs/queues.md.
  queue_record order(const std::string& queue, bool ordered) {
    return limit({.name = queue, .ordered = ordered});
  }

  /// A unit of work of one's own; see launcher/session.hpp. It should be gone before stop().
  session open_session(const session_options& options = {});
  /// Runs `body(session)`, commits, and runs it again when the database undid it for the sake of
  /// others; see launcher/transaction.hpp. What a body gives that is no pending<> is given back.
  template<class Body>
  auto run_transaction(Body body, const session_options& options = {}) {
    return troupe::run_transaction(sessions(), options, std::move(body));
  }
  session_source& sessions();

  /// How far the crawl of this `scrape` job is; errc::not_found until its first run opened it.
  crawl_progress crawl(job_id id);
  /// Items of a crawl with page ids above `after`, ascending, at most `limit`.
  std::vector<item_record> items(job_id crawl, job_id after, int limit = 1000);

  /// Where HTTP is served: "http://HOST:PORT" or with https, "unix:PATH"; none while it is not.
  std::vector<std::string> urls() const;
  /// The first of them, or empty.
  std::string url() const;
  /// Reads the certificate's files again, as happens within a minute when they have changed. Open
  /// connections go on. False: there is none, or the new pair cannot be used and the one before
  /// stays; the log and the health check say why. Any thread, while the engine runs.
  bool reload_certificate();
  /// The database in use.
  const std::string& database_url() const;
  const engine_counters& counters() const;
  const database_metrics& database() const;
  std::shared_ptr<const health_report> health() const;

private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

} // namespace troupe
