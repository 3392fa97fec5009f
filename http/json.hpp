// Jobs from JSON, with a pointer to every field at fault, and jobs to JSON. What a field may hold
// is in messages/job.hpp; unknown fields are refused.
#pragma once

#include "http/fields.hpp"
#include "http/problem.hpp"
#include "messages/bulk.hpp"
#include "messages/job.hpp"
#include "messages/job_log.hpp"

#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace troupe::http {

struct job_rules {
  const std::set<std::string>& kinds; ///< known to this node
  timestamp now;                      ///< only to refuse times far away
  /// Whether this node runs a queue. Of those it leaves to others it knows no kinds. None: all.
  std::function<bool(const std::string&)> serves = {};
};

/// `{"kind":...}` to a spec, or a 400 with every field at fault (the first 20).
std::variant<job_spec, problem> read_job(std::string_view body, const job_rules& rules);
/// `{"jobs":[...]}` to specs in order; pointers start with /jobs/<index>.
std::variant<std::vector<job_spec>, problem> read_jobs(std::string_view body,
                                                       const job_rules& rules);
/// The same, each by itself: what is wrong with one (the first five fields) is no fault of the
/// others. A 400 when it is no array of jobs.
using job_or_problem = std::variant<job_spec, problem>;
std::variant<std::vector<job_or_problem>, problem> read_jobs_apart(std::string_view body,
                                                                   const job_rules& rules);
/// `{"priority":...}` to what changes of a job, whose id is not in it.
std::variant<edit_job, problem> read_edit(std::string_view body, timestamp now);
/// Nothing when there is nothing, white space or `{}`, as cancel and retry take; else a 400.
std::optional<problem> refuse_content(std::string_view body);

/// `attempts` and `progress` only when asked for, and `retry` only when there is one: lists do not
/// read them. `node` and `started_at` only while it runs. Of these what is wanted.
void append_job(std::string& out, const job_record& job, bool with_attempts,
                chosen_fields wanted = {});
/// Their names in their order, as chosen_fields counts them.
std::span<const std::string_view> job_fields(bool with_attempts);
void append_attempt(std::string& out, const attempt_record& attempt);
void append_line(std::string& out, const log_line& line);
std::string log_json(const log_page& page);
std::string ids_json(const std::vector<job_id>& ids);
/// The job as it is right after its creation.
job_record new_job(const job_spec& spec, job_id id, timestamp created_at);

} // namespace troupe::http
