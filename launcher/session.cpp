#include "launcher/session.hpp"

#include "actors/foreign_thread.hpp"
#include "actors/run_work.hpp"
#include "actors/unit_of_work.hpp"
#include "db/statements.hpp"
#include "launcher/session_core.hpp"

#include <caf/send.hpp>

namespace troupe {

namespace {

template<class T>
typename pending<T>::outcome unpack(db::work_reply& reply) {
  if constexpr (std::is_void_v<T>)
    return detail::nothing{};
  else if constexpr (std::is_same_v<T, rows>)
    return rows{std::get<db::result>(std::move(reply))};
  else
    return std::get<T>(std::move(reply));
}

} // namespace

session::core::~core() {
  caf::anon_send(unit, halt_atom_v);
}

void session::core::send(db::work_request request, std::function<void(outcome)> then,
                         std::function<outcome(outcome)> read) {
  const bool goes_back = std::holds_alternative<db::rollback_work>(request);
  auto reply = [then = std::move(then), read = std::move(read), known = known,
                goes_back](work_answer told) {
    auto seen = known->failures.load();
    while (seen < told.failures && !known->failures.compare_exchange_weak(seen, told.failures)) {
    }
    auto what = read ? read(std::move(told.outcome)) : std::move(told.outcome);
    if (const auto* why = std::get_if<failure>(&what)) {
      auto none = errc::none;
      known->first_failure.compare_exchange_strong(none, why->code);
    } else if (goes_back) {
      known->first_failure.store(errc::none);
    } else if (std::holds_alternative<db::committed_work>(std::get<db::work_reply>(what))) {
      known->committed.store(true);
    }
    then(std::move(what));
  };
  caf::anon_send(unit, std::make_shared<work_call>(std::move(request), known->failures.load(),
                                                   std::move(reply)));
}

template<class T>
// NOLINTNEXTLINE(performance-unnecessary-value-param): moved on, which a template hides
pending<T> session::core::ask(db::work_request request) {
  auto [answer, give] = make_pending<T>();
  send(std::move(request), [give = std::move(give)](outcome what) {
    if (auto* why = std::get_if<failure>(&what))
      give(std::move(*why));
    else
      give(unpack<T>(std::get<db::work_reply>(what)));
  });
  return std::move(answer);
}

session::session(std::shared_ptr<core> from) : core_(std::move(from)) {}
session::session(session&&) noexcept = default;
session& session::operator=(session&&) noexcept = default;
session::~session() = default;

void session::add(job_spec job) {
  if (auto fault = find_fault(job))
    throw engine_error(errc::invalid_argument, *fault);
  caf::anon_send(core_->unit, job_added{std::move(job), core_->known->failures.load()});
}

void session::remove(job_id id) {
  caf::anon_send(core_->unit, job_removed{id, core_->known->failures.load()});
}

pending<void> session::begin(const db::transaction_options& how) {
  return core_->ask<void>(db::begin_work{how});
}
pending<db::flushed_work> session::flush() {
  return core_->ask<db::flushed_work>(db::flush_work{});
}
pending<db::committed_work> session::commit() {
  return core_->ask<db::committed_work>(db::commit_work{});
}
pending<void> session::rollback() {
  return core_->ask<void>(db::rollback_work{});
}
pending<void> session::savepoint(std::string name) {
  return core_->ask<void>(db::set_savepoint{std::move(name)});
}
pending<void> session::release(std::string name) {
  return core_->ask<void>(db::release_savepoint{std::move(name)});
}
pending<void> session::rollback_to(std::string name) {
  return core_->ask<void>(db::rollback_to_savepoint{std::move(name)});
}
pending<job_record> session::refresh(job_id id) {
  return core_->ask<job_record>(db::refresh_job{id});
}
pending<rows> session::query(db::query what) {
  return core_->ask<rows>(db::run_query{std::move(what)});
}
row_stream session::stream(const db::query& what, int batch) {
  return row_stream{core_, db::as_stream(what), batch};
}
errc session::first_failure() const {
  return core_->known->first_failure.load();
}
bool session::committed() const {
  return core_->known->committed.load();
}

row_stream::row_stream(std::shared_ptr<session::core> from, db::query open, int batch)
    : core_(std::move(from)), open_(std::move(open)), batch_(batch) {}

pending<rows> row_stream::next() {
  if (open_) // goes out together with the first fetch, and fails it when it fails
    core_->ask<rows>(db::run_query{*std::exchange(open_, std::nullopt)}).ignore();
  return core_->ask<rows>(
      db::run_query{db::query{batch_ < 550 ? db::sql::cursor_fetch_small : db::sql::cursor_fetch}});
}

namespace {

class actor_sessions final : public session_source {
public:
  actor_sessions(caf::actor_system& system, work_peers peers, io_loop& loop)
      : system_(&system), peers_(std::move(peers)), loop_(&loop) {}

  session open(const session_options& options) override {
    const foreign_thread here;
    work_options wanted;
    wanted.idle_timeout = options.idle_timeout;
    wanted.max_duration = options.max_duration;
    wanted.resolve = options.resolve;
    return session_access::over(
        std::make_shared<session_access::core>(system_->spawn(unit_of_work, peers_, wanted)));
  }
  pending<void> pause(std::chrono::milliseconds time) override {
    auto [answer, give] = make_pending<void>();
    const std::shared_ptr<io_timer> timer = loop_->timer();
    auto last = std::make_shared<last_word>(give);
    timer->after(time, [timer, last] { last->give(detail::nothing{}); });
    return std::move(answer);
  }
  void count_retry() override { ++peers_.metrics->transaction_retries; }

private:
  /// When the loop ends before the time, the callback goes and somebody still has to answer.
  struct last_word {
    explicit last_word(std::function<void(pending<void>::outcome)> to) : give(std::move(to)) {}
    last_word(const last_word&) = delete;
    last_word& operator=(const last_word&) = delete;
    ~last_word() { give(failure{errc::stopping, "the engine is stopping"}); }
    std::function<void(pending<void>::outcome)> give;
  };

  caf::actor_system* system_;
  work_peers peers_;
  io_loop* loop_;
};

} // namespace

std::unique_ptr<session_source> make_session_source(caf::actor_system& system, work_peers peers,
                                                    io_loop& loop) {
  return std::make_unique<actor_sessions>(system, std::move(peers), loop);
}

session& session_of(const job_run& run) {
  auto* work = dynamic_cast<run_work*>(run.work.get());
  if (work == nullptr)
    throw engine_error(errc::conflict, "this run has no transaction: it is not the engine's");
  if (!work->face) {
    auto made = std::make_shared<session_access::core>(work->unit());
    work->seen = {made->known, &made->known->failures};
    work->face = std::make_shared<session>(session_access::over(std::move(made)));
  }
  return *std::static_pointer_cast<session>(work->face);
}

} // namespace troupe
