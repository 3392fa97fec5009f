#include "actors/work_desk.hpp"

#include "actors/guard.hpp"

namespace troupe {

namespace {

void remind(work_desk_impl::stateful_pointer<work_desk_state> self) {
  if (!std::exchange(self->state.reminding, true))
    self->delayed_send(self, work_desk_state::reminder, tick_atom_v);
}

} // namespace

work_desk_impl::behavior_type work_desk(work_desk_impl::stateful_pointer<work_desk_state> self) {
  self->set_exit_handler([self](const caf::exit_msg& exit) {
    for (auto& [number, unit] : self->state.units)
      self->send_exit(unit, exit.reason);
    self->state.units.clear();
    self->quit(exit.reason);
  });
  return {
      [self](const unit_of_work_actor& unit) -> caf::result<std::uint64_t> {
        auto& state = self->state;
        if (state.units.size() >= work_desk_state::max_units)
          return make_error(errc::overloaded, "more than "
                                                  + std::to_string(work_desk_state::max_units)
                                                  + " sessions are open");
        state.units.emplace(++state.last_number, unit);
        remind(self);
        return state.last_number;
      },
      [self](std::uint64_t number) { self->state.units.erase(number); },
      [self](tick_atom) {
        auto& state = self->state;
        state.reminding = false;
        for (auto& [number, unit] : state.units)
          self->send(unit, tick_atom_v);
        if (!state.units.empty())
          remind(self);
      },
  };
}

} // namespace troupe
