// What JANITOR reads of the database for /metrics, all at one moment.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

struct measure_database {
  int queues = 100; ///< of the first so many by name
};

struct database_measures {
  struct queue_age {
    std::string queue;
    double seconds = 0; ///< since its oldest available job could have run; 0: there is none
  };
  struct table_dead {
    std::string table; ///< a partitioned one is the sum of its partitions
    std::int64_t tuples = 0;
  };
  std::vector<queue_age> ages;
  std::vector<table_dead> tables;
  double oldest_transaction = 0; ///< seconds; of those that this role may see
};

} // namespace troupe
