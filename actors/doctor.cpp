#include "actors/doctor.hpp"

#include "actors/guard.hpp"
#include "db/examination.hpp"

#include <memory>
#include <utility>

namespace troupe {

namespace {

using self_ptr = doctor_actor::stateful_pointer<doctor_state>;
using examination_ptr = std::shared_ptr<db::examination>;

void begin(self_ptr self);

template<class Answer>
void tell(self_ptr self, const Answer& what) {
  const auto aboard = std::exchange(self->state.aboard, {});
  if (!self->state.next.empty())
    begin(self);
  for (const auto& one : aboard)
    one.deliver(Answer{what});
}

db::examination::text_rows texts_of(const db::result& rows) {
  db::examination::text_rows out;
  for (int i = 0; i < rows.rows(); ++i) {
    auto& row = out.emplace_back();
    for (int j = 0; j < rows.columns(); ++j)
      row.push_back(rows[i].get<std::optional<std::string>>(j));
  }
  return out;
}

bool ends_the_look(errc why) {
  return why == errc::unavailable || why == errc::outcome_unknown || why == errc::overloaded
         || why == errc::stopping;
}

void look(self_ptr self, const examination_ptr& sees);

/// The promise of one statement: hears when it fails.
struct one_look {
  self_ptr self;
  examination_ptr sees;

  void deliver(caf::error&& error) const {
    const auto why = to_failure(error);
    if (ends_the_look(why.code) || !sees->missed(sees->name(), why.detail))
      tell(self, error);
    else
      look(self, sees);
  }
};

void look(self_ptr self, const examination_ptr& sees) {
  const auto* what = sees->next();
  if (what == nullptr)
    return tell(self, sees->take());
  db::query ask{*what};
  ask.timeout(doctor_state::check_limit);
  const auto before = std::chrono::system_clock::now();
  const auto asked = std::chrono::steady_clock::now();
  carry_out(self, self->state.pool, std::move(ask), one_look{self, sees},
            [=](const db::result& rows) {
              sees->saw(texts_of(rows), {before, std::chrono::steady_clock::now() - asked});
              look(self, sees);
            });
}

void begin(self_ptr self) {
  auto& state = self->state;
  state.aboard = std::exchange(state.next, {});
  look(self, std::make_shared<db::examination>(state.connections, std::nullopt));
}

} // namespace

doctor_actor::behavior_type doctor(doctor_actor::stateful_pointer<doctor_state> self,
                                   const pool_actor& pool, std::size_t connections) {
  self->state.pool = pool;
  self->state.connections = connections;
  return {guarded([self](const ask_doctor&) -> caf::result<doctor_report> {
    const kept_promise<doctor_report> promise(self);
    self->state.next.push_back(promise);
    if (self->state.aboard.empty())
      begin(self);
    return promise.result();
  })};
}

} // namespace troupe
