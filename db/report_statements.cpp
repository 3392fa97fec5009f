#include "db/report_statements.hpp"

#include "db/columns.hpp"
#include "db/statements.hpp"

namespace troupe::db {

namespace {

/// Lease, job and attempt of each.
template<class Told>
void bind_runs(query& q, const std::vector<Told>& told) {
  q.bind(column(told, [](const Told& one) { return one.run.lease.value; }));
  q.bind(column(told, [](const Told& one) { return one.run.job.value; }));
  q.bind(column_of<std::int16_t>(told, [](const Told& one) { return one.run.attempt; }));
}

} // namespace

void bind_reports(query& q, const record_reports& ask) {
  bind_runs(q, ask.progress);
  q.bind(column(ask.progress, &told_progress::percent));
  q.bind(column(ask.progress, &told_progress::message));
  bind_runs(q, ask.lines);
  q.bind(column_of<std::int16_t>(ask.lines, &told_line::level));
  q.bind(column(ask.lines, [](const told_line& one) { return std::int64_t{one.ago.count()}; }));
  q.bind(column(ask.lines, &told_line::text));
}

query report_query(const record_reports& ask) {
  query q{sql::report_record};
  bind_reports(q, ask);
  return q;
}

recorded_reports decode_reported(const result& rows) {
  return {ids<job_id>(rows.one().get<std::vector<std::int64_t>>(0))};
}

query log_query(const get_log& ask) {
  query q{sql::job_log};
  q.bind(ask.id.value).bind(ask.after).bind(std::int64_t{ask.limit});
  return q;
}

log_page decode_log(const result& rows, const get_log& asked) {
  log_page page;
  for (int i = 0; i < rows.rows(); ++i) {
    const auto from = rows[i];
    page.lines.push_back(
        {from.get<std::int64_t>(0), from.get<timestamp>(1), from.get<std::int16_t>(2),
         static_cast<line_level>(from.get<std::int16_t>(3)), from.get<std::string>(4)});
  }
  if (rows.rows() == asked.limit && !page.lines.empty())
    page.next = page.lines.back().number;
  return page;
}

query watch_query(const watch_jobs& ask) {
  query q{sql::jobs_watch};
  q.bind(column(ask.jobs, [](const watch_jobs::known& one) { return one.id.value; }));
  q.bind(column(ask.jobs, &watch_jobs::known::mark));
  q.bind(column(ask.jobs, &watch_jobs::known::last_line));
  return q;
}

job_sights decode_sights(const result& rows) {
  job_sights out;
  out.jobs.reserve(static_cast<std::size_t>(rows.rows()));
  for (int i = 0; i < rows.rows(); ++i) {
    const auto from = rows[i];
    out.jobs.push_back({job_id{from.get<std::int64_t>(0)}, from.get<std::int64_t>(1),
                        from.get<std::int64_t>(3), from.get<bool>(2)});
  }
  return out;
}

} // namespace troupe::db
