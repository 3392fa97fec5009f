// A WORK STORE that the test answers for.
#pragma once

#include "messages/work_interfaces.hpp"
#include "tests/actors/deterministic_system.hpp"

#include <memory>

namespace troupe::tests {

struct work_inboxes {
  inbox<join_worker, joined_worker> joins;
  inbox<leave_worker, left_worker> leaves;
  inbox<beat_worker, work_pulse> beats;
  inbox<claim_queue, claimed_work> claims;
  inbox<finish_work, finished_work> finishes;
  inbox<report_work, reported_work> reports;
  inbox<steer_worker, steered_worker> steers;
};

using work_store_double_impl = work_store_actor::extend<caf::reacts_to<act>>;

inline work_store_double_impl::behavior_type work_store_double(work_store_double_impl::pointer self,
                                                               std::shared_ptr<work_inboxes> in) {
  const auto keep = [self](auto& into, const auto& ask) { return kept(self, into, ask); };
  return {
      [=](const join_worker& ask) { return keep(in->joins, ask); },
      [=](const leave_worker& ask) { return keep(in->leaves, ask); },
      [=](const beat_worker& ask) { return keep(in->beats, ask); },
      [=](const claim_queue& ask) { return keep(in->claims, ask); },
      [=](const finish_work& ask) { return keep(in->finishes, ask); },
      [=](const report_work& ask) { return keep(in->reports, ask); },
      [=](const steer_worker& ask) { return keep(in->steers, ask); },
      [](const act& what) { (*what)(); },
  };
}

} // namespace troupe::tests
