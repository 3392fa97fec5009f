// The named statements of a node's life: join, beat, claim, finish, promote, rescue, upkeep, probe.
// Values to query, rows to values; STORE is their only user.
#pragma once

#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/engine_requests.hpp"
#include "messages/node.hpp"

#include <optional>
#include <string>

namespace troupe::db {

/// A node whose last heartbeat is older is dead. Four missed beats of one second.
constexpr std::chrono::milliseconds heartbeat_limit{4000};

query join_query(const join_node& ask);
node_id decode_join(const result& rows);
query node_query(const get_node& ask);
std::optional<node_record> decode_node(const result& rows);
/// A page ends early once the names of its nodes' kinds have so many bytes.
constexpr std::int64_t page_kinds_bytes = 16LL * 1024 * 1024;
query nodes_query(const list_nodes& ask);
node_page decode_nodes(const result& rows, const list_nodes& asked);
query drain_node_query(const drain_node& ask);
/// The newest life that is drained now: its rows are for decode_node. None, or those of an older
/// life, when that has just ended.
query drained_node_query(const result& drained);
query leave_query(const leave_node& ask);
query beat_query(const beat& ask);
pulse decode_pulse(const result& rows);

query claim_query(const claim_jobs& ask);
query adopt_query(const adopt_lease& ask);
/// Of claim and adopt. `queue` is given to runs of claim, whose rows do not repeat it.
claimed_jobs decode_claimed(const result& rows, const std::string& queue);
/// When a claim's answer has a lease without jobs: what asks for them. Its rows go to add_leased.
std::optional<query> leased_query(const result& claim);
void add_leased(const result& rows, const std::string& queue, claimed_jobs& claim);

query start_query(const start_run& ask);
bool decode_started(const result& rows);

/// What troupe.write_outcomes is told of one run: attempt outcomes, and 6 for a snoozed one.
std::int16_t outcome_code(job_result::verdict kind);
query finish_query(const finish_runs& ask);
finished_runs decode_finished(const result& rows);

query promote_query(const promote_due& ask);
promoted_jobs decode_promoted(const result& rows);
query rescue_query(const rescue_node& ask);
rescued_jobs decode_rescued(const result& rows);
query measure_query(const measure_database& ask);
database_measures decode_measures(const result& rows);
query upkeep_query();
upkept decode_upkept(const result& rows);
query expire_query();
expired_jobs decode_expired(const result& rows);
query probe_query();
database_probe decode_probe(const result& rows);

} // namespace troupe::db
