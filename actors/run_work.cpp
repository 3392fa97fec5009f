#include "actors/run_work.hpp"

#include "actors/foreign_thread.hpp"
#include "actors/unit_of_work.hpp"

namespace troupe {

unit_of_work_actor run_work::unit() {
  auto expected = stage::unused;
  if (!unit_) {
    const foreign_thread here;
    work_options options;
    options.of_run = true;
    options.resolve = false; // the attempt's row tells
    unit_ = system_->spawn(unit_of_work, *peers_, options);
    if (!stage_.compare_exchange_strong(expected, stage::open))
      caf::anon_send(unit_, halt_atom_v); // the run is over
  }
  return unit_;
}

void run_work::complete(finish_runs outcome, std::function<void(std::optional<failure>)> reply) {
  // Both answers come on the unit's thread, one after the other.
  auto first = std::make_shared<std::optional<failure>>();
  const auto known = seen ? seen->load() : 0;
  const auto ask = [&](db::work_request what, std::function<void(work_answer)> then) {
    auto call = std::make_shared<work_call>(std::move(what), known, std::move(then));
    call->of_runner = true;
    caf::anon_send(unit_, std::move(call));
  };
  ask(db::complete_run{std::move(outcome)}, [first](const work_answer& told) {
    if (const auto* why = std::get_if<failure>(&told.outcome))
      *first = *why;
  });
  ask(db::commit_work{}, [first, reply = std::move(reply)](const work_answer& told) {
    const auto* why = std::get_if<failure>(&told.outcome);
    reply(why == nullptr ? std::nullopt : *first ? *first : std::optional{*why});
  });
}

void run_work::close() {
  auto expected = stage::unused;
  if (stage_.compare_exchange_strong(expected, stage::closed_early))
    return;
  expected = stage::open;
  if (stage_.compare_exchange_strong(expected, stage::closed))
    caf::anon_send(unit_, halt_atom_v);
}

} // namespace troupe
