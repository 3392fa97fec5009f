#include "db/retention_statements.hpp"

#include "db/columns.hpp"
#include "db/statements.hpp"

namespace troupe::db {

namespace {

using std::chrono::milliseconds;

std::optional<milliseconds> age(std::int64_t ms) {
  return ms < 0 ? std::nullopt : std::optional{milliseconds{ms}};
}

std::optional<job_range> range(const row& from, int column) {
  const auto first = from.get<std::optional<std::int64_t>>(column);
  if (!first)
    return std::nullopt;
  return job_range{{*first}, {from.get<std::int64_t>(column + 1)}};
}

} // namespace

query retention_query() {
  query q{sql::retention};
  q.bind(std::int32_t{limits::retention_queues});
  return q;
}

retention_record decode_retention(const result& rows) {
  const auto from = rows.one();
  retention_record out;
  const auto queues = from.get<std::vector<std::string>>(0);
  const auto completed = from.get<std::vector<std::int64_t>>(1);
  const auto cancelled = from.get<std::vector<std::int64_t>>(2);
  const auto discarded = from.get<std::vector<std::int64_t>>(3);
  for (std::size_t i = 0; i < queues.size(); ++i)
    out.ages.push_back(
        {queues[i], age(completed.at(i)), age(cancelled.at(i)), age(discarded.at(i))});
  out.more_queues = from.get<bool>(4);
  out.oldest_job = from.get<std::optional<timestamp>>(5);
  out.partitions = from.get<std::int32_t>(6);
  if (const auto ids = range(from, 7))
    out.looking = {*ids, {from.get<std::int64_t>(9)}};
  out.next_look = from.get<std::optional<timestamp>>(10);
  if (const auto at = from.get<std::optional<timestamp>>(11))
    out.last_drop = {*at, *range(from, 12), from.get<std::int64_t>(14), from.get<std::int64_t>(15)};
  const auto things = from.get<std::vector<std::string>>(16);
  const auto ages = from.get<std::vector<std::int64_t>>(17);
  const auto known = from.get<std::vector<bool>>(18);
  const auto oldest = from.get<std::vector<timestamp>>(19);
  for (std::size_t i = 0; i < things.size(); ++i)
    out.others.push_back({things[i], milliseconds{ages.at(i)},
                          known.at(i) ? std::optional{oldest.at(i)} : std::nullopt});
  return out;
}

query change_ages_query(const change_ages& ask) {
  query q{sql::ages_change};
  q.bind(ask.queue);
  for (const auto& age : {ask.completed, ask.cancelled, ask.discarded}) {
    const auto given = age.value_or(std::nullopt);
    q.bind(age.has_value()).bind(given ? std::optional{given->count()} : std::nullopt);
  }
  bind_asker(q, ask.by);
  return q;
}

query forget_ages_query(const forget_ages& ask) {
  query q{sql::ages_forget};
  q.bind(ask.queue);
  bind_asker(q, ask.by);
  return q;
}

job_ages decode_ages(const result& rows) {
  const auto from = rows.one();
  const auto of = [&](int column) -> job_ages::age {
    const auto ms = from.get<std::optional<std::int64_t>>(column);
    return ms ? std::optional{milliseconds{*ms}} : std::nullopt;
  };
  return {from.get<std::string>(0), of(1), of(2), of(3)};
}

} // namespace troupe::db
