// What workers by HTTP say, from JSON and to JSON. The secret of a worker's life is in one answer
// only, and in what the worker asks; the engine gets its hash.
#pragma once

#include "http/identity.hpp"
#include "http/problem.hpp"
#include "messages/work.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace troupe::http {

/// A life's secret: of random characters behind the life's id and a point.
struct work_secret {
  static work_secret make();
  std::string text; ///< without the id
  std::string hash;
};

/// Each: what is asked, or a 400 with every field at fault (the first 20). The session is bound to
/// the token of `who`.
std::variant<join_worker, problem> read_join(std::string_view body);
std::variant<claim_work, problem> read_claim(std::string_view body, const token_identity* who);
std::variant<beat_worker, problem> read_beat(std::string_view body, const token_identity* who);
std::variant<report_work, problem> read_report(std::string_view body, const token_identity* who);
std::variant<leave_worker, problem> read_leave(std::string_view body, const token_identity* who);

/// Outcomes are read each by itself: what is wrong with one (the first five fields) is no fault of
/// the others.
struct read_outcome {
  std::string job = {}; ///< as it was told, to answer with; empty: it was not
  int attempt = 0;      ///< the same
  std::vector<field_error> errors = {};
};
struct told_outcomes {
  finish_work ask; ///< those that could be read
  std::vector<read_outcome> all;
};
std::variant<told_outcomes, problem> read_finish(std::string_view body, const token_identity* who);

/// How often a worker with this lease is to be heard of.
std::chrono::milliseconds heartbeat_of(std::chrono::milliseconds lease);

std::string joined_json(const join_worker& asked, node_id node, const work_secret& secret);
/// `traces`: what each job's worker goes on with, in place of what put the job in; empty: nothing.
std::string claimed_json(const claimed_work& got, const std::vector<std::string>& traces = {});
std::string finished_json(const told_outcomes& told, const std::vector<work_fate>& fates);
std::string pulse_json(const work_pulse& pulse);
std::string reported_json(const reported_work& told);
std::string left_json(const left_worker& left);

} // namespace troupe::http
