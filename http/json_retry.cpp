// See json_retry.hpp. The database checks the same again (troupe.check_retry).
#include "http/json_retry.hpp"

#include "messages/job.hpp"

#include <string_view>
#include <utility>

namespace troupe::http {

namespace {

using kind = json_value::kind;
using std::chrono::milliseconds;

constexpr milliseconds longest = limits::max_delay;

class retry_reader {
public:
  explicit retry_reader(const retry_fault& fail) : fail_(fail) {}

  std::optional<retry_policy> read(const json_value& value);

private:
  void fail(std::string below, std::string detail) {
    faulty_ = true;
    fail_(std::move(below), std::move(detail));
  }
  std::int64_t whole(const json_value& value, std::string below, std::int64_t most) {
    if (value.type == kind::integer && value.integer >= 0 && value.integer <= most)
      return value.integer;
    fail(std::move(below), "must be an integer from 0 to " + std::to_string(most));
    return 0;
  }
  milliseconds pause(const json_value& value, std::string below) {
    return milliseconds{whole(value, std::move(below), longest.count())};
  }

  retry_policy exponential(const json_value& value);
  retry_policy fixed(const json_value& value);
  retry_policy list(const json_value& value);
  void no_such(const std::string& key, std::string_view which);

  const retry_fault& fail_;
  bool faulty_ = false;
};

void retry_reader::no_such(const std::string& key, std::string_view which) {
  std::string pointer;
  append_pointer(pointer, key);
  fail(std::move(pointer), "no such field; " + std::string{which});
}

retry_policy retry_reader::exponential(const json_value& value) {
  backoff how;
  for (const auto& [key, part] : value.members) {
    if (key == "base_ms")
      how.base = pause(part, "/base_ms");
    else if (key == "max_ms")
      how.cap = pause(part, "/max_ms");
    else if (key == "jitter_percent")
      how.jitter_percent = static_cast<int>(whole(part, "/jitter_percent", 100));
    else if (key != "policy")
      no_such(key, "exponential has base_ms, max_ms, jitter_percent");
  }
  if (how.cap < how.base)
    fail("/max_ms", "must not be less than base_ms");
  return retry_policy::exponential(how);
}

retry_policy retry_reader::fixed(const json_value& value) {
  std::optional<milliseconds> each;
  for (const auto& [key, part] : value.members) {
    if (key == "delay_ms")
      each = pause(part, "/delay_ms");
    else if (key != "policy")
      no_such(key, "fixed has delay_ms");
  }
  if (!each)
    fail("/delay_ms", "is required");
  return retry_policy::fixed(each.value_or(milliseconds{0}));
}

retry_policy retry_reader::list(const json_value& value) {
  bool given = false;
  retry_policy::pauses pauses;
  for (const auto& [key, part] : value.members) {
    if (key == "delays_ms") {
      given = true;
      if (part.type != kind::array || part.members.empty()
          || part.members.size() > limits::retry_pauses) {
        fail("/delays_ms",
             "must be an array of 1 to " + std::to_string(limits::retry_pauses) + " integers");
        continue;
      }
      for (std::size_t i = 0; i < part.members.size(); ++i)
        pauses.push_back(pause(part.members[i].value, "/delays_ms/" + std::to_string(i)));
    } else if (key != "policy") {
      no_such(key, "list has delays_ms");
    }
  }
  if (!given)
    fail("/delays_ms", "is required");
  return retry_policy::list(std::move(pauses));
}

std::optional<retry_policy> retry_reader::read(const json_value& value) {
  if (value.type == kind::null)
    return std::nullopt;
  if (value.type != kind::object) {
    fail({}, R"(must be an object, such as {"policy":"fixed","delay_ms":5000})");
    return std::nullopt;
  }
  std::string policy;
  for (const auto& [key, part] : value.members)
    if (key == "policy" && part.type == kind::string)
      policy = part.text;
  std::optional<retry_policy> out;
  if (policy == "exponential")
    out = exponential(value);
  else if (policy == "fixed")
    out = fixed(value);
  else if (policy == "list")
    out = list(value);
  else if (policy == "none") {
    for (const auto& member : value.members)
      if (member.key != "policy")
        no_such(member.key, "none has no more than its policy");
    out = retry_policy::none();
  } else {
    fail("/policy", "must be exponential, fixed, list or none");
  }
  return faulty_ ? std::nullopt : out;
}

} // namespace

std::optional<retry_policy> read_retry(const json_value& value, const retry_fault& fail) {
  return retry_reader{fail}.read(value);
}

} // namespace troupe::http
