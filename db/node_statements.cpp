#include "db/node_statements.hpp"

#include "db/columns.hpp"
#include "db/retry.hpp"
#include "db/statements.hpp"
#include "messages/version.hpp"

#include <algorithm>
#include <limits>

namespace troupe::db {

namespace {

std::optional<std::chrono::milliseconds> due(const row& from, int column) {
  const auto ms = from.get<std::optional<std::int64_t>>(column);
  if (!ms)
    return std::nullopt;
  return std::chrono::milliseconds{std::max<std::int64_t>(0, *ms)};
}

query list(const std::optional<std::string>& name, const std::optional<node_state>& state,
           node_id before, int limit) {
  query q{sql::node_list};
  q.bind(name);
  if (state)
    q.bind(to_string(*state));
  else
    q.bind_null<std::string>();
  q.bind(before.value > 0 ? before.value : std::numeric_limits<std::int64_t>::max());
  q.bind(std::int32_t{limit}).bind(static_cast<double>(heartbeat_limit.count()));
  q.bind(page_kinds_bytes);
  return q;
}

node_record decode_life(const row& from) {
  node_record node;
  node.id = node_id{from.get<std::int64_t>(0)};
  node.name = from.get<std::string>(1);
  const auto state = parse_node_state(from.get<std::string_view>(2));
  if (!state)
    throw decode_error("state: the database names a state of nodes unknown to this program");
  node.state = *state;
  node.version = from.get<std::optional<std::string>>(3).value_or("");
  node.started_at = from.get<timestamp>(4);
  node.heartbeat_at = from.get<std::optional<timestamp>>(5);
  node.ended_at = from.get<std::optional<timestamp>>(6);
  node.slots = from.get<std::optional<std::int32_t>>(7);
  node.kinds = from.get<std::optional<std::vector<std::string>>>(8);
  const auto queues = from.get<std::vector<std::string>>(9);
  const auto slots = from.get<std::vector<std::int32_t>>(10);
  const auto running = from.get<std::vector<std::int64_t>>(11);
  for (std::size_t i = 0; i < queues.size(); ++i)
    node.queues.push_back(
        {queues[i], slots.at(i) < 0 ? std::nullopt : std::optional<int>{slots[i]}, running.at(i)});
  return node;
}

} // namespace

std::int16_t outcome_code(job_result::verdict kind) {
  switch (kind) {
  case job_result::verdict::completed:
    return static_cast<std::int16_t>(outcome::completed);
  case job_result::verdict::discarded:
    return static_cast<std::int16_t>(outcome::discarded);
  case job_result::verdict::failed:
    return static_cast<std::int16_t>(outcome::failed);
  case job_result::verdict::snoozed:
    break;
  }
  return 6;
}

query join_query(const join_node& ask) {
  query q{sql::node_join};
  q.bind(ask.name).bind(ask.skips).bind(ask.serves).bind(ask.kinds);
  q.bind(std::int32_t{ask.slots}).bind(ask.slot_queues).bind(ask.queue_slots).bind(version);
  q.bind(ask.draining);
  return q;
}

query node_query(const get_node& ask) {
  return list(ask.name, std::nullopt, node_id{}, 1);
}

std::optional<node_record> decode_node(const result& rows) {
  if (rows.empty())
    return std::nullopt;
  return decode_life(rows.one());
}

query nodes_query(const list_nodes& ask) {
  return list(std::nullopt, ask.state, ask.before, ask.limit);
}

node_page decode_nodes(const result& rows, const list_nodes& asked) {
  node_page page;
  std::size_t bytes = 0;
  for (int i = 0; i < rows.rows(); ++i) {
    page.nodes.push_back(decode_life(rows[i]));
    if (const auto& kinds = page.nodes.back().kinds)
      for (const auto& kind : *kinds)
        bytes += kind.size();
  }
  const bool full = rows.rows() >= asked.limit || bytes >= std::size_t{page_kinds_bytes};
  if (full && !page.nodes.empty())
    page.next = page.nodes.back().id;
  return page;
}

query drain_node_query(const drain_node& ask) {
  query q{sql::node_drain};
  q.bind(ask.name).bind(ask.drain);
  bind_asker(q, ask.by);
  return q;
}

query drained_node_query(const result& drained) {
  return list(std::nullopt, std::nullopt, node_id{drained.one().get<std::int64_t>(0) + 1}, 1);
}

node_id decode_join(const result& rows) {
  return node_id{rows.one().get<std::int64_t>(0)};
}

query leave_query(const leave_node& ask) {
  query q{sql::node_leave};
  q.bind(ask.node.value);
  return q;
}

query beat_query(const beat& ask) {
  query q{sql::node_beat};
  q.bind(ask.node.value).bind(static_cast<double>(heartbeat_limit.count()));
  return q;
}

pulse decode_pulse(const result& rows) {
  const auto from = rows.one();
  pulse answer;
  answer.alive = from.get<bool>(0);
  answer.dead = ids<node_id>(from.get<std::vector<std::int64_t>>(1));
  answer.cancelled = ids<job_id>(from.get<std::vector<std::int64_t>>(2));
  answer.leases = ids<lease_id>(from.get<std::vector<std::int64_t>>(3));
  answer.next_due = due(from, 4);
  answer.queues = from.get<std::vector<std::string>>(5);
  answer.paused = from.get<std::vector<std::string>>(6);
  const auto capped = from.get<std::vector<std::string>>(7);
  const auto caps = from.get<std::vector<std::int32_t>>(8);
  for (std::size_t i = 0; i < capped.size(); ++i)
    answer.caps.push_back({capped[i], caps.at(i)});
  answer.draining = from.get<bool>(9);
  return answer;
}

query claim_query(const claim_jobs& ask) {
  query q{sql::job_claim};
  q.bind(ask.node.value).bind(ask.queue).bind(std::int32_t{ask.limit});
  q.bind(ask.slots).bind(std::int32_t{ask.held});
  return q;
}

query adopt_query(const adopt_lease& ask) {
  query q{sql::job_adopt};
  q.bind(ask.node.value).bind(ask.lease.value);
  return q;
}

void add_leased(const result& rows, const std::string& queue, claimed_jobs& claim) {
  const int count = rows.rows();
  claim.jobs.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    const auto from = rows[i];
    auto run = std::make_shared<job_run>();
    run->id = job_id{from.get<std::int64_t>(1)};
    run->attempt = from.get<std::int16_t>(2);
    run->max_attempts = from.get<std::int16_t>(3);
    if (const auto timeout = from.get<std::optional<std::int64_t>>(4))
      run->timeout = std::chrono::milliseconds{*timeout};
    run->kind = from.get<std::string>(5);
    run->args = from.get<std::string>(6);
    run->losses = from.get<std::int16_t>(7);
    run->queue = from.get<std::optional<std::string>>(10).value_or(queue);
    run->retry = decode_retry(from, 11);
    run->traceparent = from.get<std::optional<std::string>>(14).value_or("");
    claim.jobs.push_back(std::move(run));
  }
}

claimed_jobs decode_claimed(const result& rows, const std::string& queue) {
  claimed_jobs answer;
  if (rows.rows() == 0)
    return answer;
  const auto first = rows[0];
  if (rows.columns() > 12)
    answer.wait = due(first, 12);
  if (rows.columns() > 13)
    answer.again = first.get<std::optional<bool>>(13);
  const auto lease = first.get<std::optional<std::int64_t>>(0);
  if (!lease)
    return answer;
  answer.lease = lease_id{*lease};
  if (const auto permits = first.get<std::optional<std::int32_t>>(8))
    answer.permits = {*permits, first.get<std::int64_t>(9)};
  if (first.get<std::optional<std::int64_t>>(1))
    add_leased(rows, queue, answer);
  return answer;
}

std::optional<query> leased_query(const result& claim) {
  if (claim.rows() == 0)
    return std::nullopt;
  const auto first = claim[0];
  if (!first.get<std::optional<std::int64_t>>(0) || first.get<std::optional<std::int64_t>>(1))
    return std::nullopt;
  query q{sql::job_leased};
  q.bind(first.get<std::int64_t>(0)).bind(first.get<std::string>(6));
  return q;
}

query start_query(const start_run& ask) {
  query q{sql::job_start};
  q.bind(ask.node.value).bind(ask.lease.value).bind(ask.job.value);
  return q;
}

bool decode_started(const result& rows) {
  return rows.one().get<bool>(0);
}

query finish_query(const finish_runs& ask) {
  using run = finished_run;
  const auto& runs = ask.runs;
  const auto done = column(ask.done, &lease_id::value);
  const auto leases = column(runs, [](const run& one) { return one.lease.value; });
  std::vector<std::int64_t> held;
  for (const auto lease : leases)
    // Runs of one lease lie together, so the last one added is the likely match.
    if ((held.empty() || held.back() != lease)
        && std::find(done.begin(), done.end(), lease) == done.end()
        && std::find(held.begin(), held.end(), lease) == held.end())
      held.push_back(lease);
  const bool plain = std::all_of(runs.begin(), runs.end(), [](const run& one) {
    return one.result.kind == job_result::verdict::completed;
  });
  query q{ask.keep.empty() ? sql::job_finish : sql::job_finish_keeping};
  q.bind(ask.node.value).bind(done).bind(held).bind(plain).bind(leases);
  q.bind(column(runs, [](const run& one) { return one.id.value; }));
  q.bind(column_of<std::int16_t>(runs, &run::attempt));
  q.bind(column(runs, [](const run& one) { return outcome_code(one.result.kind); }));
  q.bind(column(runs, [](const run& one) { return std::int64_t{one.started_ago.count()}; }));
  q.bind(column(runs, [](const run& one) { return std::int64_t{one.finished_ago.count()}; }));
  q.bind_jsonb_array(column(runs, [](const run& one) { return one.result.result; }));
  q.bind_text_array(column(runs, [](const run& one) { return one.result.error; }));
  q.bind(column(runs, [](const run& one) { return std::int64_t{one.retry_in.count()}; }));
  if (!ask.keep.empty()) {
    q.bind(column(ask.keep, &permits_kept::queue));
    q.bind(column(ask.keep, [](const permits_kept& k) { return std::int32_t{k.keep.count}; }));
    q.bind(column(ask.keep, [](const permits_kept& k) { return k.keep.change; }));
  }
  return q;
}

finished_runs decode_finished(const result& rows) {
  const auto from = rows.one();
  finished_runs answer;
  answer.fenced = ids<job_id>(from.get<std::vector<std::int64_t>>(0));
  answer.deferred = from.get<std::int64_t>(1) > 0;
  if (rows.columns() > 2) {
    const auto permits = from.get<std::vector<std::int32_t>>(2);
    const auto changes = from.get<std::vector<std::int64_t>>(3);
    for (std::size_t i = 0; i < permits.size(); ++i)
      answer.permits.push_back({permits[i], changes.at(i)});
  }
  return answer;
}

query promote_query(const promote_due& ask) {
  query q{sql::job_promote};
  q.bind(static_cast<std::int32_t>(ask.limit));
  return q;
}

promoted_jobs decode_promoted(const result& rows) {
  const auto from = rows.one();
  promoted_jobs answer;
  answer.count = from.get<std::int64_t>(0);
  answer.queues = from.get<std::vector<std::string>>(1);
  answer.next_due = due(from, 2);
  return answer;
}

query rescue_query(const rescue_node& ask) {
  query q{sql::node_rescue};
  q.bind(ask.node.value).bind(static_cast<double>(heartbeat_limit.count()));
  return q;
}

rescued_jobs decode_rescued(const result& rows) {
  const auto from = rows.one();
  rescued_jobs answer;
  answer.count = from.get<std::int64_t>(0);
  answer.quarantined = from.get<std::int64_t>(1);
  answer.queues = from.get<std::vector<std::string>>(2);
  answer.leases = from.get<std::int64_t>(3);
  return answer;
}

query measure_query(const measure_database& ask) {
  query q{sql::measure};
  q.bind(std::int32_t{ask.queues});
  return q;
}

database_measures decode_measures(const result& rows) {
  const auto from = rows.one();
  database_measures answer;
  const auto queues = from.get<std::vector<std::string>>(0);
  const auto ages = from.get<std::vector<double>>(1);
  for (std::size_t i = 0; i < queues.size(); ++i)
    answer.ages.push_back({queues[i], ages.at(i)});
  const auto tables = from.get<std::vector<std::string>>(2);
  const auto dead = from.get<std::vector<std::int64_t>>(3);
  for (std::size_t i = 0; i < tables.size(); ++i)
    answer.tables.push_back({tables[i], dead.at(i)});
  answer.oldest_transaction = from.get<double>(4);
  return answer;
}

query upkeep_query() {
  return query{sql::upkeep};
}

upkept decode_upkept(const result& rows) {
  const auto from = rows.one();
  return {from.get<std::int32_t>(0), from.get<std::int64_t>(1), from.get<std::int64_t>(2),
          from.get<std::int64_t>(3), from.get<std::int32_t>(4)};
}

query expire_query() {
  return query{sql::expire};
}

expired_jobs decode_expired(const result& rows) {
  const auto from = rows.one();
  return {from.get<std::string>(0), from.get<std::int64_t>(1), from.get<std::int64_t>(2),
          from.get<std::int64_t>(3)};
}

query probe_query() {
  return query{sql::probe};
}

database_probe decode_probe(const result& rows) {
  const auto from = rows.one();
  database_probe answer;
  answer.in_recovery = from.get<bool>(0);
  answer.durable = from.get<bool>(1);
  answer.schema_version = from.get<std::optional<std::int32_t>>(2).value_or(0);
  answer.now = from.get<timestamp>(3);
  answer.read_only = from.get<bool>(4);
  answer.overdue = std::chrono::milliseconds{from.get<std::int64_t>(5)};
  return answer;
}

} // namespace troupe::db
