#include "launcher/engine.hpp"

#include "actors/cast.hpp"
#include "actors/crawl_port.hpp"
#include "actors/foreign_thread.hpp"
#include "db/admin.hpp"
#include "db/migrate.hpp"
#include "handlers/export.hpp"
#include "handlers/fetcher.hpp"
#include "handlers/scrape.hpp"
#include "handlers/testing.hpp"
#include "http/bridge.hpp"
#include "http/server.hpp"
#include "http/tls_context.hpp"
#include "launcher/asio_loop.hpp"
#include "launcher/cast_options.hpp"
#include "launcher/database_options.hpp"
#include "launcher/disk_space.hpp"
#include "launcher/export_ports.hpp"
#include "launcher/listening.hpp"
#include "launcher/private_postgres.hpp"
#include "launcher/session_core.hpp"
#include "launcher/system_config.hpp"
#include "launcher/threads.hpp"
#include "launcher/worker_pool.hpp"
#include "messages/log.hpp"

#include <caf/scoped_actor.hpp>

#include <algorithm>
#include <future>
#include <optional>
#include <thread>
#include <variant>

namespace troupe {

namespace {

using namespace std::chrono_literals;

/// How long start() waits for the first heartbeat and the first good health report.
constexpr auto ready_limit = 30s;
/// After the grace time: for handlers that react to stop, and for their outcomes to be written.
constexpr auto halt_limit = 3s;
/// For the actors to end once they were told to.
constexpr auto exit_limit = 5s;

} // namespace

struct engine::parts {
  // In the order of construction; destroyed in reverse. The loop outlives the actors, the actors
  // outlive the port and the handlers that send to them.
  engine_options options;
  std::shared_ptr<http::tls_context> tls; ///< null: plain HTTP
  std::optional<private_postgres> postgres;
  std::string database_url;
  engine_counters counters;
  database_metrics metrics;
  std::unique_ptr<span_sink> spans; ///< null: none are made
  std::shared_ptr<health_board> board = std::make_shared<health_board>();
  std::map<std::string, std::pair<blocking_handler, kind_options>> blocking;
  handler_table table;
  std::optional<asio_loop> loop;
  std::optional<thread_pool> workers;
  std::optional<readiness> sockets; ///< the database's
  std::optional<system_config> config;
  std::optional<caf::actor_system> system;
  std::optional<cast> actors;
  std::unique_ptr<session_source> sessions;
  std::unique_ptr<crawl_port> port;
  std::optional<export_ports> exports;
  std::optional<fetcher> pages;
  std::optional<http::server> server;
  std::atomic<bool> draining{false};
  bool started = false;

  void open_database();
  void start_actors();
  void start_http(http::doors at);
  void wait_until_ready();
  bool drain();
  [[noreturn]] void leave(const std::string& why);
  void end_actors();
  api_reply ask(api_request request);
  template<class Reply>
  Reply ask_for(api_request request);
  template<class Reply, class Call>
  Reply ask_port(Call call);
};

void engine::parts::open_database() {
  database_url = options.database_url;
  try {
    if (database_url.empty()) {
      private_postgres::options wanted;
      wanted.data_dir = options.data_dir;
      wanted.progress = options.progress;
      postgres.emplace(private_postgres::start(std::move(wanted)));
      database_url = postgres->url();
    }
    const auto report =
        db::migrate(connect_options_of(database_url, options.database, "troupe migrate"));
    if (!report.applied.empty())
      log::info("engine", "migrated the database from version " + std::to_string(report.from)
                              + " to " + std::to_string(report.to));
  } catch (const db::db_error& e) {
    throw refused_by(e);
  } catch (const data_dir_error& e) {
    throw engine_error(errc::invalid_argument, e.what());
  } catch (const std::runtime_error& e) {
    throw engine_error(errc::unavailable, e.what());
  }
}

void engine::parts::start_actors() {
  const foreign_thread here;
  loop.emplace();
  loop->start();
  workers.emplace(threads_or_cores(options.worker_threads));
  sockets.emplace();
  config.emplace(threads_or_cores(options.actor_threads), *sockets);
  system.emplace(*config);
  auto wanted = cast_options_of(options, database_url, metrics);
  wanted.spans = spans.get();
  wanted.pool.sockets = &*sockets;
  if (wanted.notifier)
    wanted.notifier->sockets = &*sockets;
  if (postgres)
    wanted.health.disk = [where = postgres->data_dir() / "pgdata"] { return space_of(where); };
  wanted.health.certificate = health_of(tls);
  actors = spawn_cast(*system, wanted, *loop, counters, board);
  port = make_crawl_port(*system, actors->recorder, actors->crawls, actors->store, actors->executor,
                         *actors->work);
  exports.emplace(*system, *actors->work);
  sessions = make_session_source(*system, *actors->work, *loop);
  fetcher_options fetching;
  fetching.allow_private = options.allow_private;
  fetching.max_transfers = static_cast<std::size_t>(std::max(1, options.fetches));
  pages.emplace(*loop, fetching);
  add_scrape(table, {*loop, *workers, *port, *pages});
  const std::filesystem::path root =
      options.data_dir.empty() ? default_data_dir() : options.data_dir;
  add_export(table, *workers, *port, {root / "exports"});
  exports->add_to(table);
  if (options.test_kinds)
    add_test_kinds(table, {*loop, *workers, root / "effects"});
  for (const auto& [kind, how] : blocking)
    table[kind] = {on_worker(*workers, how.first), how.second};
  begin(*system, *actors, wanted, *loop, std::make_shared<const handler_table>(table), counters);
}

void engine::parts::start_http(http::doors at) {
  auto context = services_of(options);
  context.ask = http::make_bridge(actors->gate);
  context.health = board.get();
  context.counters = &counters;
  context.database = &metrics;
  context.spans = spans.get();
  for (const auto& [kind, handler] : table)
    context.kinds.insert(kind);
  exports->offer(context);
  context.draining = [this] { return draining.load(); };
  server.emplace(loop->context(), server_options_of(options, tls), std::move(context));
  server->start(std::move(at));
}

void engine::parts::wait_until_ready() {
  const auto deadline = std::chrono::steady_clock::now() + ready_limit;
  std::shared_ptr<const health_report> report;
  while (std::chrono::steady_clock::now() < deadline) {
    report = board->last();
    if (report && report->ready)
      return;
    std::this_thread::sleep_for(5ms);
  }
  std::string why = "the engine did not become ready";
  if (report)
    for (const auto& check : report->checks)
      if (check.status == health_status::failing)
        why += "; " + check.name + ": " + check.detail;
  throw engine_error(errc::unavailable, why);
}

api_reply engine::parts::ask(api_request request) {
  if (!started)
    return failure{errc::stopping, "the engine is not running; call start() first"};
  auto answered = std::make_shared<std::promise<api_reply>>();
  auto answer = answered->get_future();
  caf::anon_send(actors->gate,
                 std::make_shared<const api_call>(std::move(request), [answered](api_reply reply) {
                   answered->set_value(std::move(reply));
                 }));
  return answer.get();
}

template<class Reply>
Reply engine::parts::ask_for(api_request request) {
  auto reply = ask(std::move(request));
  if (const auto* failed = std::get_if<failure>(&reply))
    throw engine_error(*failed);
  return std::get<Reply>(std::move(reply));
}

/// Calls the crawl port, whose answer comes on an actor's thread, and waits.
template<class Reply, class Call>
Reply engine::parts::ask_port(Call call) {
  if (!started)
    throw engine_error(errc::stopping, "the engine is not running; call start() first");
  auto answered = std::make_shared<std::promise<result_or<Reply>>>();
  auto answer = answered->get_future();
  call(*port, [answered](result_or<Reply> reply) { answered->set_value(std::move(reply)); });
  return detail::unwrap<Reply>(answer.get());
}

bool engine::parts::drain() {
  const foreign_thread here;
  bool drained = false;
  caf::scoped_actor self{*system};
  self->send(actors->dispatcher,
             drain_atom_v); // who waits for jobs gets none of this node any more
  self->request(actors->executor, caf::timespan{options.grace}, drain_atom_v)
      .receive([&] { drained = true; }, [](caf::error&) {});
  if (!drained) {
    self->send(actors->executor, halt_atom_v);
    self->request(actors->executor, caf::timespan{halt_limit}, drain_atom_v)
        .receive(
            [&] { drained = true; },
            [](caf::error&) { log::warn("engine", "jobs are left running; others rescue them"); });
  }
  self->request(actors->pulse, caf::timespan{halt_limit}, drain_atom_v)
      .receive([] {},
               [](caf::error& e) {
                 log::warn("engine", "could not take leave of the database: " + to_string(e));
               });
  return drained;
}

/// What would be waited for for ever. The database is consistent whenever we end.
void engine::parts::leave(const std::string& why) {
  log::error("engine", why + "; leaving without them");
  if (postgres)
    postgres->stop();
  std::_Exit(3);
}

void engine::parts::end_actors() {
  pages.reset();
  caf::anon_send_exit(actors->root, caf::exit_reason::user_shutdown);
  actors.reset();
  sessions.reset();
  port.reset();
  table.clear();
  if (!workers->stop_within(exit_limit))
    leave("handlers did not end");
  const auto deadline = std::chrono::steady_clock::now() + exit_limit;
  while (system->registry().running() > 0 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(1ms);
  if (system->registry().running() > 0)
    leave(std::to_string(system->registry().running()) + " actors did not end");
  exports.reset(); // until here runs may have asked
  loop->stop();    // its thread may hold a reference to the system, too (see foreign_thread.hpp)
  system.reset();
  config.reset();
  sockets.reset();
  workers.reset();
  loop.reset();
}

engine::engine(engine_options options) : parts_(std::make_unique<parts>()) {
  check_database_options(options);
  parts_->options = std::move(options);
}

engine::~engine() {
  stop();
}

void engine::handle(const std::string& kind, blocking_handler handler, kind_options how) {
  if (!is_valid_name(kind))
    throw engine_error(errc::invalid_argument,
                       "a kind is 1 to 128 of A-Z a-z 0-9 . _ : - ; not '" + kind + "'");
  parts_->blocking[kind] = {std::move(handler), std::move(how)};
}

void engine::handle_async(const std::string& kind, async_handler handler, kind_options how) {
  if (!is_valid_name(kind))
    throw engine_error(errc::invalid_argument,
                       "a kind is 1 to 128 of A-Z a-z 0-9 . _ : - ; not '" + kind + "'");
  parts_->table[kind] = {std::move(handler), std::move(how)};
}

void engine::start() {
  if (parts_->started)
    throw engine_error(errc::conflict, "the engine is running already");
  if (!is_valid_name(parts_->options.node))
    throw engine_error(errc::invalid_argument, "a node's name is 1 to 128 of A-Z a-z 0-9 . _ : -");
  parts_->tls = read_certificate(parts_->options);
  parts_->spans = make_span_exporter(parts_->options, parts_->counters);
  auto doors = open_doors(parts_->options);
  parts_->open_database();
  parts_->start_actors();
  parts_->started = true;
  try {
    parts_->wait_until_ready();
    if (parts_->options.http)
      parts_->start_http(std::move(doors));
  } catch (...) {
    stop();
    throw;
  }
}

bool engine::stop() {
  if (!parts_->started)
    return true;
  parts_->draining = true;
  const bool drained = parts_->drain();
  if (parts_->server) {
    std::promise<void> closed;
    parts_->server->stop(halt_limit, [&closed] { closed.set_value(); });
    closed.get_future().wait();
    parts_->server.reset();
  }
  parts_->end_actors();
  parts_->spans.reset();
  parts_->started = false;
  parts_->draining = false;
  if (parts_->postgres) {
    parts_->postgres->stop();
    parts_->postgres.reset();
  }
  return drained;
}

api_reply engine::ask(api_request request) {
  return parts_->ask(std::move(request));
}

job_id engine::enqueue(job_spec job, const enqueue_options& options) {
  std::vector<job_spec> one;
  one.push_back(std::move(job));
  return enqueue_all(std::move(one), options).front();
}

std::vector<job_id> engine::enqueue_all(std::vector<job_spec> jobs,
                                        const enqueue_options& options) {
  if (jobs.empty())
    return {};
  for (const auto& job : jobs) {
    if (const auto fault = find_fault(job))
      throw engine_error(errc::invalid_argument, *fault);
    if (parts_->started && parts_->table.count(job.kind) == 0)
      throw engine_error(errc::invalid_argument, "no handler for kind '" + job.kind + "'");
  }
  if (!options.idempotency_key.empty() && !is_valid_key(options.idempotency_key))
    throw engine_error(errc::invalid_argument,
                       "an idempotency key has 1 to 255 printable characters");
  auto stored =
      parts_->ask_for<enqueued_jobs>(enqueue_jobs{std::move(jobs), options.idempotency_key});
  if (stored.use == key_use::refused)
    throw engine_error(errc::conflict, "this idempotency key belongs to a request with other jobs");
  if (const auto rejected = first_rejected(stored))
    throw engine_error(errc::conflict, conflict_text(stored.ids.at(*rejected)));
  return std::move(stored.ids);
}

job_record engine::get(job_id id) {
  return parts_->ask_for<job_record>(get_job{id});
}

log_page engine::log(job_id id, std::int64_t after, int limit) {
  return parts_->ask_for<log_page>(get_log{id, after, limit});
}

job_hold engine::why(job_id id) {
  return parts_->ask_for<job_hold>(explain_job{id});
}

job_page engine::list(const job_filter& filter, job_id before, int limit) {
  return parts_->ask_for<job_page>(list_jobs{filter, before, limit});
}

job_record engine::cancel(job_id id) {
  return parts_->ask_for<job_record>(cancel_job{id});
}

job_record engine::retry(job_id id) {
  return parts_->ask_for<job_record>(retry_job{id});
}

void engine::remove(job_id id) {
  parts_->ask_for<deleted_job>(delete_job{id});
}

job_record engine::edit(const edit_job& what) {
  return parts_->ask_for<job_record>(what);
}

bulk_record engine::bulk(const bulk_request& what) {
  return parts_->ask_for<bulk_record>(start_bulk{what});
}

bulk_record engine::bulk(std::int64_t id) {
  return parts_->ask_for<bulk_record>(get_bulk{id});
}

queue_record engine::queue(const std::string& name) {
  return parts_->ask_for<queue_record>(get_queue{name});
}

queue_record engine::pause(const std::string& queue) {
  return parts_->ask_for<queue_record>(pause_queue{queue, true});
}

queue_record engine::resume(const std::string& queue) {
  return parts_->ask_for<queue_record>(pause_queue{queue, false});
}

counts_page engine::counts(const get_counts& what) {
  return parts_->ask_for<counts_page>(what);
}

queue_record engine::limit(const limit_queue& what) {
  return parts_->ask_for<queue_record>(what);
}

job_record engine::wait(job_id id, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  auto pause = 1ms;
  while (true) {
    auto job = get(id);
    if (is_final(job.state))
      return job;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left <= 0ms)
      throw engine_error(errc::timed_out, "job " + std::to_string(id.value) + " is still "
                                              + std::string{to_string(job.state)});
    std::this_thread::sleep_for(std::min(pause, left));
    pause = std::min(pause * 2, 50ms);
  }
}

session_source& engine::sessions() {
  if (!parts_->started)
    throw engine_error(errc::stopping, "the engine is not running; call start() first");
  return *parts_->sessions;
}

session engine::open_session(const session_options& options) {
  return sessions().open(options);
}

crawl_progress engine::crawl(job_id id) {
  return parts_->ask_port<crawl_progress>(
      [id](crawl_port& port, auto reply) { port.progress(id, std::move(reply)); });
}

std::vector<item_record> engine::items(job_id crawl, job_id after, int limit) {
  return parts_->ask_port<std::vector<item_record>>(
      [=](crawl_port& port, auto reply) { port.items(crawl, after, limit, std::move(reply)); });
}

std::vector<std::string> engine::urls() const {
  if (!parts_->server)
    return {};
  return urls_of(parts_->options, parts_->server->port());
}

std::string engine::url() const {
  const auto all = urls();
  return all.empty() ? std::string{} : all.front();
}

bool engine::reload_certificate() {
  return parts_->tls && parts_->tls->reload();
}

const std::string& engine::database_url() const {
  return parts_->database_url;
}

const database_metrics& engine::database() const {
  return parts_->metrics;
}

const engine_counters& engine::counters() const {
  return parts_->counters;
}

std::shared_ptr<const health_report> engine::health() const {
  return parts_->board->last();
}

} // namespace troupe
