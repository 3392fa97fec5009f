#include "cli/enqueue_options.hpp"

#include "cli/choice.hpp"
#include "cli/settings.hpp"
#include "cli/text.hpp"
#include "messages/job.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace troupe::cli {

namespace {

constexpr double longest_seconds = 10.0 * 365 * 86'400;

CLI::Option* list(CLI::Option* option) {
  return option->expected(1)->take_all()->allow_extra_args(false);
}

void read_delay(const std::string& time, enqueue_settings& job) {
  try {
    job.delay_ms = read_duration(time).count();
  } catch (const std::invalid_argument& e) {
    throw CLI::ValidationError("--delay", e.what());
  }
}

void add_unique_options(CLI::App& app, enqueue_settings& job) {
  auto* unique =
      list(app.add_option("--unique", job.unique,
                          "At most one such job: of this kind, and with 'queue' of this "
                          "queue, with 'args' or 'args.FIELD' of these args (repeatable; "
                          "'kind': nothing further)"));
  app.add_option("--unique-period-ms", job.unique_period_ms,
                 "With --unique: one in each stretch of so many milliseconds")
      ->needs(unique);
  list(app.add_option("--unique-state", job.unique_states,
                      "With --unique: another job is in the way in this state (repeatable; "
                      "scheduled, available, running and retryable)"))
      ->check(one_of(state_names()))
      ->needs(unique);
  app.add_option("--on-conflict", job.on_conflict,
                 "With --unique, when there is such a job (reject: exit 4)")
      ->check(one_of({"reject", "existing", "replace"}))
      ->needs(unique);
}

} // namespace

void add_enqueue_options(CLI::App& app, enqueue_settings& job) {
  app.add_option("kind", job.kind, "What to run")->required();
  app.add_option("--args", job.args, "JSON for the job; - reads it from standard input")
      ->capture_default_str();
  app.add_option("--queue", job.queue, "Queue (default)");
  app.add_option("--priority", job.priority, "0 to 9; 0 runs first");
  app.add_option("--max-attempts", job.max_attempts, "Attempts before the job is discarded");
  app.add_option("--timeout-ms", job.timeout_ms, "Limit of one attempt");
  auto* delay = app.add_option_function<std::string>(
                       "--delay", [&job](const std::string& time) { read_delay(time, job); },
                       "Run not before so long from now, such as 90s, 5min, 2h or 1d")
                    ->type_name("TIME");
  auto* delay_ms =
      app.add_option("--delay-ms", job.delay_ms, "The same in milliseconds")->excludes(delay);
  app.add_option("--run-at", job.run_at, "Run not before this time, such as 2030-01-31T08:00:00Z")
      ->excludes(delay)
      ->excludes(delay_ms);
  list(app.add_option("--tag", job.tags, "A tag (repeatable)"));
  app.add_option("--limit-key", job.limit_key,
                 "What the queue's limits per key count it under, such as a customer");
  auto* retry =
      app.add_option("--retry", job.retry,
                     "When a failed attempt is tried again: exponential:1s..6h, fixed:5s, "
                     "list:1s,10s,5min, or none (as the node says for its kind)");
  app.add_option("--retry-jitter", job.retry_jitter,
                 "With --retry exponential: spread by so many percent to both sides (25)")
      ->check(CLI::Range(0, 100))
      ->needs(retry);
  add_unique_options(app, job);
  app.add_option("--idempotency-key", job.idempotency_key,
                 "Names this request: sent again within a day, it is answered as the first time");
  app.add_flag("--wait", job.wait, "Wait for the job's end; exit 8 when it did not complete");
  app.add_option("--timeout", job.wait_limit, "With --wait: seconds to wait at most, then exit 7")
      ->check(number_in(0.0, longest_seconds));
}

std::optional<retry_policy> retry_of(const enqueue_settings& job) {
  if (!job.retry)
    return std::nullopt;
  const auto colon = std::min(job.retry->find(':'), job.retry->size());
  const auto policy = job.retry->substr(0, colon);
  const auto times = job.retry->substr(std::min(colon + 1, job.retry->size()));
  std::optional<retry_policy> out;
  if (policy == "exponential") {
    backoff how;
    const auto dots = std::min(times.find(".."), times.size());
    if (dots > 0)
      how.base = read_duration(times.substr(0, dots));
    if (dots < times.size())
      how.cap = read_duration(times.substr(dots + 2));
    how.jitter_percent = job.retry_jitter.value_or(how.jitter_percent);
    out = retry_policy::exponential(how);
  } else if (job.retry_jitter) {
    throw std::invalid_argument("--retry-jitter goes with --retry exponential");
  } else if (policy == "fixed" && !times.empty()) {
    out = retry_policy::fixed(read_duration(times));
  } else if (policy == "list" && !times.empty()) {
    retry_policy::pauses pauses;
    for (std::size_t from = 0; from <= times.size();) {
      const auto comma = std::min(times.find(',', from), times.size());
      pauses.push_back(read_duration(times.substr(from, comma - from)));
      from = comma + 1;
    }
    out = retry_policy::list(std::move(pauses));
  } else if (policy == "none" && times.empty()) {
    out = retry_policy::none();
  } else {
    throw std::invalid_argument("--retry: '" + printable(*job.retry)
                                + "' is none of exponential:1s..6h, fixed:5s, list:1s,10s, none");
  }
  if (const auto fault = find_fault(*out))
    throw std::invalid_argument("--" + *fault);
  return out;
}

void check_enqueue(const enqueue_settings& job) {
  if (job.wait_limit && !job.wait)
    throw std::invalid_argument("--timeout goes with --wait; for the job's own limit use "
                                "--timeout-ms");
  static_cast<void>(retry_of(job));
  bool args = false;
  bool fields = false;
  for (const auto& what : job.unique) {
    args = args || what == "args";
    fields = fields || what.starts_with("args.");
    if (what != "kind" && what != "queue" && what != "args"
        && !(what.starts_with("args.") && what.size() > 5))
      throw std::invalid_argument("--unique: '" + printable(what)
                                  + "' is none of kind, queue, args, args.FIELD");
  }
  if (args && fields)
    throw std::invalid_argument("--unique: all args or some fields of them, not both");
  for (const auto& state : job.unique_states)
    check_state(state);
  if (job.on_conflict && !parse_on_conflict(*job.on_conflict))
    throw std::invalid_argument("--on-conflict: '" + printable(*job.on_conflict)
                                + "' is none of reject, existing, replace");
  if (job.idempotency_key && !is_valid_key(*job.idempotency_key))
    throw std::invalid_argument("--idempotency-key: a key has 1 to "
                                + std::to_string(limits::key_length) + " printable characters");
}

} // namespace troupe::cli
