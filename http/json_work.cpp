#include "http/json_work.hpp"

#include "http/bearer_token.hpp"
#include "http/json_guard.hpp"
#include "http/route_answers.hpp"
#include "http/router.hpp"
#include "messages/utf8.hpp"

#include <algorithm>
#include <array>
#include <set>

namespace troupe::http {

namespace {

using kind = json_value::kind;
using milliseconds = std::chrono::milliseconds;

constexpr std::size_t reported_errors = 20;
constexpr std::size_t reported_of_one = 5;
constexpr std::string_view token_prefix = "trp_";

/// Reads the members of one object; collects errors instead of stopping at the first.
class reader {
public:
  reader(std::vector<field_error>& errors, std::string base, std::size_t most = reported_errors)
      : errors_(errors), base_(std::move(base)), most_(errors.size() + most) {}

  void fail(std::string_view field, std::string detail) {
    if (errors_.size() >= most_ || errors_.size() >= reported_errors)
      return;
    auto pointer = base_;
    if (!field.empty())
      append_pointer(pointer, field);
    errors_.push_back({std::move(pointer), std::move(detail)});
  }
  std::int64_t integer(std::string_view field, const json_value& value, std::int64_t least,
                       std::int64_t most) {
    if (value.type == kind::integer && value.integer >= least && value.integer <= most)
      return value.integer;
    fail(field, "must be an integer from " + std::to_string(least) + " to " + std::to_string(most));
    return least;
  }
  milliseconds time(std::string_view field, const json_value& value, milliseconds least,
                    milliseconds most) {
    return milliseconds{integer(field, value, least.count(), most.count())};
  }
  std::string text(std::string_view field, json_value& value, std::size_t longest) {
    if (value.type == kind::string && !value.text.empty() && value.text.size() <= longest)
      return std::move(value.text);
    fail(field, "must be a string of 1 to " + std::to_string(longest) + " bytes");
    return {};
  }
  std::string any_text(std::string_view field, json_value& value) {
    if (value.type != kind::string)
      fail(field, "must be a string");
    return std::move(value.text);
  }
  std::string name(std::string_view field, json_value& value) {
    if (value.type == kind::string && is_valid_name(value.text))
      return std::move(value.text);
    fail(field, "must be " + std::string{name_form});
    return {};
  }
  std::int64_t id(std::string_view field, const json_value& value) {
    const auto found = value.type == kind::string ? parse_id(value.text) : std::nullopt;
    if (!found)
      fail(field, "must be an id, as text");
    return found ? found->value : 0;
  }
  std::vector<std::string> names(std::string_view field, json_value& value, std::size_t most) {
    std::vector<std::string> out;
    each(field, value, 1, most, "names",
         [&](reader& one, json_value& part) { out.push_back(one.name({}, part)); });
    if (std::set<std::string>(out.begin(), out.end()).size() < out.size())
      fail(field, "must not name one twice");
    return out;
  }
  template<class Read>
  void each(std::string_view field, json_value& value, std::size_t least, std::size_t most,
            const std::string& what, Read read) {
    if (value.type != kind::array || value.members.size() < least || value.members.size() > most)
      return fail(field, "must be an array of " + std::to_string(least) + " to "
                             + std::to_string(most) + " " + what);
    auto below = base_;
    append_pointer(below, field);
    for (std::size_t i = 0; i < value.members.size(); ++i) {
      reader one{errors_, below + '/' + std::to_string(i)};
      read(one, value.members[i].value);
    }
  }
  void require(const json_value& object, std::initializer_list<std::string_view> fields) {
    for (const auto field : fields)
      if (std::none_of(object.members.begin(), object.members.end(),
                       [&](const auto& member) { return member.key == field; }))
        fail(field, "is required");
  }

private:
  std::vector<field_error>& errors_;
  std::string base_;
  std::size_t most_;
};

void read_session(reader& in, json_value& value, const token_identity* who, work_session& out) {
  const auto point = value.type == kind::string ? value.text.find('.') : std::string::npos;
  const auto node =
      point == std::string::npos ? std::nullopt : parse_id(value.text.substr(0, point));
  const auto secret =
      node ? bearer_token::parse(std::string{token_prefix} + value.text.substr(point + 1))
           : std::nullopt;
  if (!secret)
    return in.fail("session", "must be the session that joining answered with");
  out.node = node_id{node->value};
  out.hash = secret->hash();
  if (who != nullptr)
    out.token = who->id;
}

/// An object with a session; `field` reads one of its other members, or says that there is none.
template<class Field>
std::optional<problem> read_object(std::string_view body, std::size_t values,
                                   std::initializer_list<std::string_view> required,
                                   std::string_view known, Field field) {
  json_limits most;
  most.depth = limits::args_depth;
  most.values = values;
  most.raw_key = "result";
  most.raw_bytes = limits::result_bytes;
  auto document = read_json(body, most);
  if (auto* error = std::get_if<json_error>(&document))
    return malformed(std::move(*error), body);
  auto& root = std::get<json_value>(document);
  if (root.type != kind::object)
    return invalid_fields({{"", "must be an object with " + std::string{known}}});
  std::vector<field_error> errors;
  reader in{errors, {}};
  in.require(root, required);
  for (auto& [key, value] : root.members)
    if (!field(in, key, value))
      in.fail(key, "no such field; there are " + std::string{known});
  if (!errors.empty())
    return invalid_fields(std::move(errors));
  return std::nullopt;
}

template<class Ask>
std::variant<Ask, problem> either(Ask&& ask, std::optional<problem>&& fault) {
  if (fault)
    return *std::move(fault);
  return std::forward<Ask>(ask);
}

/// Lease, job and attempt.
bool read_run(reader& in, const std::string& key, const json_value& value, run_key& out) {
  if (key == "lease")
    out.lease = lease_id{in.id(key, value)};
  else if (key == "job")
    out.job = job_id{in.id(key, value)};
  else if (key == "attempt")
    out.attempt = static_cast<int>(in.integer(key, value, 1, limits::most_attempt));
  else
    return false;
  return true;
}

void read_percent(reader& in, const json_value& value, std::optional<double>& out) {
  if (value.type == kind::null)
    return;
  double percent = -1;
  if (value.type == kind::integer)
    percent = static_cast<double>(value.integer);
  else if (value.type == kind::number)
    percent = std::strtod(value.text.c_str(), nullptr);
  if (!(percent >= 0 && percent <= 100))
    return in.fail("percent", "must be a number from 0 to 100, or null");
  out = percent;
}

std::optional<line_level> parse_level(const json_value& value) {
  for (const auto level :
       {line_level::debug, line_level::info, line_level::warn, line_level::error})
    if (value.type == kind::string && value.text == to_string(level))
      return level;
  return std::nullopt;
}

void read_told_progress(reader& in, json_value& from, told_progress& out) {
  if (from.type != kind::object)
    return in.fail({}, "must be an object");
  in.require(from, {"lease", "job", "attempt"});
  for (auto& [key, value] : from.members) {
    if (read_run(in, key, value, out.run))
      continue;
    if (key == "percent")
      read_percent(in, value, out.percent);
    else if (key == "message")
      out.message = cut_utf8(in.any_text(key, value), limits::message_bytes);
    else
      in.fail(key, "no such field; there are lease, job, attempt, percent, message");
  }
}

void read_told_line(reader& in, json_value& from, told_line& out) {
  if (from.type != kind::object)
    return in.fail({}, "must be an object");
  in.require(from, {"lease", "job", "attempt", "line"});
  for (auto& [key, value] : from.members) {
    if (read_run(in, key, value, out.run))
      continue;
    if (key == "line") {
      out.text = cut_utf8(in.any_text(key, value), limits::line_bytes);
    } else if (key == "level") {
      const auto level = parse_level(value);
      out.level = level.value_or(line_level::info);
      if (!level)
        in.fail(key, "must be debug, info, warn or error");
    } else if (key == "ago_ms") {
      out.ago = in.time(key, value, milliseconds{0}, limits::work_ago);
    } else {
      in.fail(key, "no such field; there are lease, job, attempt, line, level, ago_ms");
    }
  }
}

void read_verdict(reader& in, const json_value& value, job_result& out) {
  using verdict = job_result::verdict;
  constexpr std::array words{
      std::pair{"completed", verdict::completed}, std::pair{"failed", verdict::failed},
      std::pair{"discarded", verdict::discarded}, std::pair{"snoozed", verdict::snoozed}};
  for (const auto& [word, meaning] : words)
    if (value.type == kind::string && value.text == word) {
      out.kind = meaning;
      return;
    }
  in.fail("outcome", "must be completed, failed, discarded or snoozed");
}

/// What goes with one outcome and not with another.
void check_outcome(reader& in, const job_result& told) {
  using verdict = job_result::verdict;
  const bool put_off = told.kind == verdict::failed || told.kind == verdict::snoozed;
  if (!told.result.empty() && told.kind != verdict::completed)
    in.fail("result", "is of what completed");
  if (!told.error.empty() && told.kind != verdict::failed && told.kind != verdict::discarded)
    in.fail("error", "is of what failed or is discarded");
  if (told.retry_in && !put_off)
    in.fail("retry_ms", "is of what failed or is snoozed");
  if (!told.retry_in && told.kind == verdict::snoozed)
    in.fail("retry_ms", "is required of what is snoozed");
}

ended_work read_ended(reader& in, json_value& from, read_outcome& told) {
  ended_work out;
  if (from.type != kind::object) {
    in.fail({}, "must be an object");
    return out;
  }
  in.require(from, {"lease", "job", "attempt", "outcome"});
  run_key run;
  for (auto& [key, value] : from.members) {
    if (read_run(in, key, value, run))
      continue;
    if (key == "outcome")
      read_verdict(in, value, out.result);
    else if (key == "result")
      out.result.result = std::move(value.text);
    else if (key == "error")
      out.result.error = cut_utf8(in.any_text(key, value), limits::error_bytes);
    else if (key == "retry_ms")
      out.result.retry_in = in.time(key, value, milliseconds{0}, limits::max_delay);
    else
      in.fail(key,
              "no such field; there are lease, job, attempt, outcome, result, error, retry_ms");
  }
  check_outcome(in, out.result);
  out.lease = run.lease;
  out.id = run.job;
  out.attempt = run.attempt;
  if (run.job.value > 0)
    told.job = std::to_string(run.job.value);
  told.attempt = run.attempt;
  return out;
}

} // namespace

work_secret work_secret::make() {
  const auto token = bearer_token::make();
  return {token.secret().substr(token_prefix.size()), token.hash()};
}

std::variant<join_worker, problem> read_join(std::string_view body) {
  join_worker ask;
  auto fault =
      read_object(body, limits::work_kinds + limits::work_queues + 16, {"name", "queues"},
                  "name, queues, kinds, slots, version, lease_ms",
                  [&](reader& in, const std::string& key, json_value& value) {
                    if (key == "name")
                      ask.name = in.name(key, value);
                    else if (key == "queues")
                      ask.queues = in.names(key, value, limits::work_queues);
                    else if (key == "kinds")
                      ask.kinds = in.names(key, value, limits::work_kinds);
                    else if (key == "slots")
                      ask.slots = static_cast<int>(in.integer(key, value, 1, limits::work_slots));
                    else if (key == "version")
                      ask.version = in.text(key, value, limits::version_length);
                    else if (key == "lease_ms")
                      ask.lease = in.time(key, value, limits::least_lease, limits::most_lease);
                    else
                      return false;
                    return true;
                  });
  return either(std::move(ask), std::move(fault));
}

std::variant<claim_work, problem> read_claim(std::string_view body, const token_identity* who) {
  claim_work ask;
  auto fault = read_object(
      body, limits::work_queues + 16, {"session", "queues"}, "session, queues, limit, wait_ms",
      [&](reader& in, const std::string& key, json_value& value) {
        if (key == "session")
          read_session(in, value, who, ask.by);
        else if (key == "queues")
          ask.queues = in.names(key, value, limits::work_queues);
        else if (key == "limit")
          ask.limit = static_cast<int>(in.integer(key, value, 1, limits::work_claim));
        else if (key == "wait_ms")
          ask.wait = in.time(key, value, milliseconds{0}, limits::work_wait);
        else
          return false;
        return true;
      });
  return either(std::move(ask), std::move(fault));
}

std::variant<beat_worker, problem> read_beat(std::string_view body, const token_identity* who) {
  beat_worker ask;
  auto fault =
      read_object(body, limits::work_held + 16, {"session"}, "session, jobs",
                  [&](reader& in, const std::string& key, json_value& value) {
                    if (key == "session")
                      read_session(in, value, who, ask.by);
                    else if (key == "jobs")
                      in.each(key, value, 0, limits::work_held, "ids",
                              [&jobs = ask.jobs.emplace()](reader& one, const json_value& id) {
                                jobs.push_back(job_id{one.id({}, id)});
                              });
                    else
                      return false;
                    return true;
                  });
  return either(std::move(ask), std::move(fault));
}

std::variant<report_work, problem> read_report(std::string_view body, const token_identity* who) {
  report_work ask;
  auto fault = read_object(
      body, 8 * (limits::work_progress + limits::work_lines) + 16, {"session"},
      "session, progress, lines", [&](reader& in, const std::string& key, json_value& value) {
        if (key == "session")
          read_session(in, value, who, ask.by);
        else if (key == "progress")
          in.each(key, value, 0, limits::work_progress, "objects",
                  [&](reader& one, json_value& part) {
                    read_told_progress(one, part, ask.told.progress.emplace_back());
                  });
        else if (key == "lines")
          in.each(key, value, 0, limits::work_lines, "objects", [&](reader& one, json_value& part) {
            read_told_line(one, part, ask.told.lines.emplace_back());
          });
        else
          return false;
        return true;
      });
  return either(std::move(ask), std::move(fault));
}

std::variant<leave_worker, problem> read_leave(std::string_view body, const token_identity* who) {
  leave_worker ask;
  auto fault = read_object(body, 16, {"session"}, "session",
                           [&](reader& in, const std::string& key, json_value& value) {
                             if (key != "session")
                               return false;
                             read_session(in, value, who, ask.by);
                             return true;
                           });
  return either(std::move(ask), std::move(fault));
}

std::variant<told_outcomes, problem> read_finish(std::string_view body, const token_identity* who) {
  told_outcomes told;
  std::set<std::int64_t> seen;
  const auto read_one = [&](std::size_t place, json_value& part) {
    auto& one = told.all.emplace_back();
    reader own{one.errors, "/outcomes/" + std::to_string(place), reported_of_one};
    auto run = read_ended(own, part, one);
    if (one.errors.empty() && !seen.insert(run.id.value).second)
      own.fail("job", "is named twice in this request");
    if (one.errors.empty())
      told.ask.runs.push_back(std::move(run));
  };
  auto fault =
      read_object(body, 16 * limits::work_finish + 16, {"session", "outcomes"}, "session, outcomes",
                  [&](reader& in, const std::string& key, json_value& value) {
                    if (key == "session")
                      read_session(in, value, who, told.ask.by);
                    else if (key == "outcomes")
                      in.each(key, value, 1, limits::work_finish, "objects",
                              [&](reader&, json_value& part) { read_one(told.all.size(), part); });
                    else
                      return false;
                    return true;
                  });
  return either(std::move(told), std::move(fault));
}

} // namespace troupe::http
