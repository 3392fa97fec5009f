// The filter of jobs as parameters. For the *_statements.cpp.
#pragma once

#include "db/query.hpp"
#include "messages/job.hpp"

namespace troupe::db {

/// Eight parameters, null for what is not asked for: state, queue, kind, tags, limit_key,
/// created_from, created_before, args.
inline void bind_filter(query& q, const job_filter& filter) {
  if (filter.state)
    q.bind(to_string(*filter.state));
  else
    q.bind_null<std::string>();
  q.bind(filter.queue).bind(filter.kind);
  if (filter.tags.empty())
    q.bind_null<std::vector<std::string>>();
  else
    q.bind(filter.tags);
  q.bind(filter.limit_key).bind(filter.created_from).bind(filter.created_before);
  q.bind_jsonb(filter.args.empty() ? std::optional<std::string>{} : filter.args);
}

} // namespace troupe::db
