// CONNECTIONs that the test answers for, under a real POOL in virtual time.
#pragma once

#include "actors/pool.hpp"
#include "tests/actors/deterministic_system.hpp"

namespace troupe::tests {

inline const db::statement one_statement{"one", "select 1"};

/// One CONNECTION as POOL spawned it, with what it was asked and has not answered.
struct connection_notes {
  connection_config config;
  pooled_connection_actor actor;
  std::deque<caf::typed_response_promise<db::result>> queries;
  std::vector<std::string> names; ///< of all statements, in the order of asking
  int lent = 0;                   ///< times
  struct back {
    bool tainted;
    caf::response_promise done;
  };
  std::deque<back> backs;
};

using connection_double_impl =
    pooled_connection_actor::extend<caf::reacts_to<act>, caf::reacts_to<caf::error>>;

inline connection_double_impl::behavior_type
connection_double(connection_double_impl::pointer self, std::shared_ptr<connection_notes> notes) {
  self->set_exit_handler([self](const caf::exit_msg& exit) { self->quit(exit.reason); });
  return {
      [=](const query_ptr& query) -> caf::result<db::result> {
        auto promise = self->make_response_promise<db::result>();
        notes->names.emplace_back(query->what().name);
        notes->queries.push_back(promise);
        return promise;
      },
      [](const burst_ptr&) { return burst_answers{}; },
      [](const copy_start&) { return db::result{}; },
      [](copy_atom) { return std::string{}; },
      [](copy_atom, const std::string&) {},
      [](copy_atom, bool) {},
      [=](lend_atom) { ++notes->lent; },
      [=](return_atom, bool tainted) -> caf::result<void> {
        auto promise = self->make_response_promise<caf::response_promise>();
        notes->backs.push_back({tainted, promise});
        return promise;
      },
      [](const act& what) { (*what)(); },
      [=](caf::error& why) { self->quit(std::move(why)); },
  };
}

/// What an asker heard, and what it holds.
struct heard {
  bool answered = false;
  loan_ptr lent;
  failure refused;
};

struct doubled_pool : deterministic_system {
  engine_counters counters;
  database_metrics metrics;
  std::vector<std::shared_ptr<connection_notes>> made; ///< in the order of spawning
  pool_impl one;

  pool_options options(std::size_t least, std::size_t most) {
    pool_options some;
    some.min_size = least;
    some.max_size = most;
    some.metrics = &metrics;
    return some;
  }
  void start(const pool_options& with) {
    const connection_maker make = [this](pool_impl::pointer self, connection_config wanted) {
      auto notes = std::make_shared<connection_notes>();
      notes->config = std::move(wanted);
      notes->actor = self->spawn<caf::monitored>(connection_double, notes);
      made.push_back(notes);
      return notes->actor;
    };
    one = spawn(pool_with, with, static_cast<io_loop*>(nullptr), &counters, make);
    run();
  }
  ~doubled_pool() {
    for (auto& each : made) { // they hold POOL, and POOL's end ends them
      each->queries.clear();
      each->backs.clear();
    }
    caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
    run();
    for (auto& each : made)
      each->config.pool = nullptr;
  }
  /// What is made comes up until nothing more is made.
  void all_up() {
    for (std::size_t i = 0; i < made.size(); ++i)
      up(i);
  }
  void up(std::size_t index) {
    caf::anon_send(made.at(index)->config.pool, up_atom_v, made.at(index)->config.id);
    run();
  }
  void fail(std::size_t index, errc code, const std::string& why) {
    fail_unseen(index, make_error(code, why));
    run();
  }
  void fail_unseen(std::size_t index, caf::error why) {
    caf::anon_send(caf::actor_cast<connection_double_impl>(made.at(index)->actor), std::move(why));
  }
  /// As CONNECTION does when it breaks while it is lent.
  void lose_lent(std::size_t index, const std::string& why) {
    const auto& notes = *made.at(index);
    caf::anon_send(notes.config.pool, lost_atom_v, notes.config.id,
                   make_error(errc::unavailable, why));
    run();
  }
  void inside(std::size_t index, std::function<void()> what) {
    caf::anon_send(caf::actor_cast<connection_double_impl>(made.at(index)->actor),
                   std::make_shared<std::function<void()>>(std::move(what)));
    run();
  }
  /// The oldest statement of this connection is answered.
  void answer(std::size_t index) {
    auto notes = made.at(index);
    BOOST_REQUIRE(!notes->queries.empty());
    inside(index, [notes] {
      notes->queries.front().deliver(db::result{});
      notes->queries.pop_front();
      --notes->config.load->in_flight;
      if (notes->config.load->wanted.load())
        caf::anon_send(notes->config.pool, room_atom_v);
    });
  }
  void cleaned(std::size_t index) {
    auto notes = made.at(index);
    BOOST_REQUIRE(!notes->backs.empty());
    inside(index, [notes] {
      notes->backs.front().done.deliver(caf::unit);
      notes->backs.pop_front();
    });
  }
  std::shared_ptr<heard> ask() {
    auto note = std::make_shared<heard>();
    spawn([this, note](caf::event_based_actor* self) {
      self->request(one, caf::infinite, std::make_shared<const db::query>(one_statement))
          .then([note](const db::result&) { note->answered = true; },
                [note](caf::error& why) { note->refused = told(why); });
    });
    run();
    return note;
  }
  std::shared_ptr<heard> borrow() {
    auto note = std::make_shared<heard>();
    spawn([this, note](caf::event_based_actor* self) {
      self->request(one, caf::infinite, lend_atom_v)
          .then([note](const loan_ptr& given) { note->lent = given; },
                [note](caf::error& why) { note->refused = told(why); });
    });
    run();
    return note;
  }
  void give_back(const std::shared_ptr<heard>& note) {
    note->lent.reset();
    run();
  }
  static failure told(const caf::error& why) {
    failure out{static_cast<errc>(why.code()), {}};
    BOOST_TEST((why.category() == errc_category));
    if (why.context().match_elements<std::string>())
      out.detail = why.context().get_as<std::string>(0);
    return out;
  }
  pool_state& state() { return state_of<pool_state, pool_impl>(one); }
  bool gone(std::size_t index) { return ended(made.at(index)->actor); }
  /// Statements of callers in flight there; trials after idleness not counted.
  std::size_t in_flight(std::size_t index) { return made.at(index)->queries.size(); }
};

} // namespace troupe::tests
