// LOOKUP: gathers what many callers ask of single jobs at the same time into few statements: most
// of what a statement costs is not the job. Asked by SESSION; asks STORE. A question goes out at
// once while less than max_flights are on their way; what comes meanwhile gathers for the next, so
// nobody is shown what was read before he asked. When a flight fails for what it read, its jobs are
// asked for one by one: nobody fails for another's sake. Who asks for a page that is on its way
// waits for the next reading of it, and shares it with all who wait for the same. A search may work
// for a second on a connection that claims and heartbeats need: max_searches of them are read at
// once, and further ones wait. Bounds: max_waiting, max_waiting_searches; beyond: errc::overloaded.
#pragma once

#include "actors/statement.hpp"
#include "messages/interfaces.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <deque>
#include <map>
#include <vector>

namespace troupe {

struct lookup_options {
  std::size_t max_flights = 2; ///< statements on their way at once
  /// Jobs in one of them. A job may hold 2 MiB of arguments, and all of a flight are in memory.
  std::size_t flight_jobs = 32;
  std::size_t max_waiting = 20'000; ///< callers for jobs, and as many for pages
  std::size_t max_searches = 2;     ///< pages of searches that are read at once
  /// Further ones. All of them have their turn before whoever asked by HTTP is told that it took
  /// too long.
  std::size_t max_waiting_searches = 100;
};

struct lookup_state {
  static inline const char* name = "lookup";

  struct caller {
    get_job asked;
    kept_promise<job_record> promise;
    bool alone = false; ///< was in a flight that failed
  };

  using page_promises = std::vector<kept_promise<job_page>>;

  /// A page that is being read, or waits for that.
  struct page_flight {
    page_promises aboard; ///< none: it waits
    page_promises next;   ///< who asked after it had left
  };

  lookup_options options;
  store_actor store;
  std::deque<caller> waiting;
  std::size_t flights = 0;
  std::map<list_jobs, page_flight> pages;
  std::size_t waiting_for_pages = 0; ///< all of their `next`
  std::size_t searches = 0;          ///< pages of them that are being read
  std::deque<list_jobs> waiting_searches;
};

lookup_actor::behavior_type lookup(lookup_actor::stateful_pointer<lookup_state> self,
                                   const lookup_options& options, const store_actor& store);

} // namespace troupe
