// Those who write while faults happen, one key after the other until told to end: alone through
// POOL, or in transactions through UNIT OF WORK. What each was told goes into a ledger. Run on
// actors' threads only; a writer ends with its actor.
#pragma once

#include "actors/statement.hpp"
#include "actors/unit_of_work.hpp"
#include "tests/actors/ledger.hpp"

#include <atomic>
#include <functional>
#include <memory>

namespace troupe::tests {

inline const db::statement insert_step{"insert_step",
                                       "insert into steps (key, half) values ($1, $2)"};
inline const db::statement insert_in_burst{"insert_in_burst",
                                           "insert into one_burst (key, half) values ($1, $2)"};

inline void single_writer(caf::event_based_actor* self, pool_actor to, std::shared_ptr<ledger> book,
                          std::shared_ptr<std::atomic<bool>> ending, const db::statement* insert) {
  if (ending->load())
    return;
  const auto key = book->next_key();
  const auto asked = ledger::clock::now();
  auto query = std::make_shared<const db::query>(db::query{*insert}.bind(key));
  self->request(to, caf::infinite, query_ptr{std::move(query)})
      .then(
          [=](const db::result&) {
            book->answer_took(ledger::clock::now() - asked);
            book->acknowledged(key);
            single_writer(self, to, book, ending, insert);
          },
          [=](const caf::error& why) {
            book->answer_took(ledger::clock::now() - asked);
            book->failed(key, to_failure(why).code);
            single_writer(self, to, book, ending, insert);
          });
}

/// Asks one unit of work, as a session does; keeps what it knows of failures.
class asker : public std::enable_shared_from_this<asker> {
public:
  using answered = std::function<void(errc)>;

  explicit asker(unit_of_work_actor unit, std::shared_ptr<ledger> book)
      : unit_(std::move(unit)), book_(std::move(book)) {}
  asker(const asker&) = delete;
  asker& operator=(const asker&) = delete;
  virtual ~asker() = default;

  using told = std::function<void(const work_answer&)>;

  void ask(db::work_request what, told then) {
    const auto asked = ledger::clock::now();
    caf::anon_send(unit_,
                   std::make_shared<work_call>(std::move(what), known_,
                                               [me = shared_from_this(), asked,
                                                then = std::move(then)](const work_answer& answer) {
                                                 me->take(answer, asked);
                                                 then(answer);
                                               }));
  }
  void ask(db::work_request what, answered then = {}) {
    ask(std::move(what), told{[then = std::move(then)](const work_answer& answer) {
          const auto* why = std::get_if<failure>(&answer.outcome);
          if (then)
            then(why ? why->code : errc::none);
        }});
  }
  void forget() { caf::anon_send(unit_, halt_atom_v); }

protected:
  const std::shared_ptr<ledger>& book() const { return book_; }

private:
  void take(const work_answer& answer, ledger::clock::time_point asked) {
    book_->answer_took(ledger::clock::now() - asked);
    known_ = std::max(known_.load(), answer.failures);
  }

  unit_of_work_actor unit_;
  std::shared_ptr<ledger> book_;
  std::atomic<std::uint64_t> known_{0};
};

/// One key in two halves, the second one within a savepoint: both or none.
class transaction_writer : public asker {
public:
  /// `waits`: for the answers before it commits; otherwise the transaction is one burst.
  transaction_writer(unit_of_work_actor unit, std::shared_ptr<ledger> book,
                     std::shared_ptr<std::atomic<bool>> ending, const db::statement* insert,
                     bool waits)
      : asker(std::move(unit), std::move(book)), ending_(std::move(ending)), insert_(insert),
        waits_(waits) {}

  void run() {
    if (ending_->load())
      return forget();
    key_ = book()->next_key();
    ask(db::begin_work{});
    if (!waits_) {
      write(1);
      write_in_savepoint({});
      return commit();
    }
    write(1, [this](errc code) {
      if (code != errc::none)
        return give_up(code);
      write_in_savepoint([this](errc later) { later == errc::none ? commit() : give_up(later); });
    });
  }

private:
  void write(std::int64_t half, answered then = {}) {
    ask(db::run_query{db::query{*insert_}.bind(key_).bind(half)}, std::move(then));
  }
  void write_in_savepoint(answered then) {
    ask(db::set_savepoint{"second"});
    write(2);
    ask(db::release_savepoint{"second"}, std::move(then));
  }
  void commit() {
    ask(db::commit_work{}, [this](errc code) {
      if (code != errc::none)
        return give_up(code);
      book()->acknowledged(key_);
      run();
    });
  }
  void give_up(errc code) {
    book()->failed(key_, code);
    if (code == errc::stopping)
      return;
    ask(db::rollback_work{}, [this](errc late) {
      if (late != errc::stopping)
        run();
    });
  }

  std::shared_ptr<std::atomic<bool>> ending_;
  const db::statement* insert_;
  bool waits_;
  std::int64_t key_ = 0;
};

} // namespace troupe::tests
