// What db/doctor saw becomes findings with advice. Values in, values out. Private to db and tests.
// Failing: the engine would not work. Degraded: it works, and this would hurt one day.
#pragma once

#include "messages/doctor.hpp"
#include "messages/job.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace troupe::db::doctoring {

using settings = std::map<std::string, std::string>;

struct open_transaction {
  std::string who;
  std::string state; ///< active, idle in transaction, prepared, ...
  std::chrono::seconds age;
  bool pins; ///< rows that died since cannot be removed
};

struct connection_limit {
  std::string name;
  std::int64_t most; ///< -1: none
  std::int64_t used;
};

doctor_finding judge_round_trip(std::chrono::microseconds latency);
doctor_finding judge_clock(std::chrono::microseconds ahead, std::chrono::microseconds latency);
doctor_finding judge_pooler(bool moved, bool expected);
doctor_finding judge_replication(bool in_recovery, settings& found);
std::vector<doctor_finding> judge_durability(settings& found);
doctor_finding judge_encoding(settings& found);
/// `own`: the URL sets some, so the server's cannot be seen.
doctor_finding judge_timeouts(settings& found, bool own);
/// Oldest first. `all_seen`: those of other users, too.
doctor_finding judge_transactions(const std::vector<open_transaction>& open, bool all_seen);
doctor_finding judge_idle(const std::vector<open_transaction>& open);
/// The slot that is furthest behind, in transactions.
doctor_finding judge_slots(const std::string& name, std::int64_t behind);
doctor_finding judge_connections(const std::vector<connection_limit>& limits, std::size_t wanted);
doctor_finding judge_vacuum(bool on, const std::string& tables_without, std::int64_t age);
doctor_finding judge_missing_schema(bool may_create);
doctor_finding judge_rights(const std::string& missing);
doctor_finding judge_version(std::int64_t found, int known);
doctor_finding judge_overdue(std::chrono::milliseconds overdue);
doctor_finding judge_indexes(const std::string& invalid);
doctor_finding judge_partitions(const std::string& what, std::int64_t ahead, bool beyond);

} // namespace troupe::db::doctoring
