#include "http/route_answers.hpp"

#include "http/problem.hpp"

#include <charconv>
#include <utility>

namespace troupe::http {

response wrong_parameter(std::string name, std::string detail) {
  auto fault = invalid_fields({});
  fault.detail = "query parameter " + std::move(name) + ": " + std::move(detail);
  return problem_response(std::move(fault));
}

bool read_filter(std::string_view name, std::string& value, job_filter& filter,
                 std::optional<response>& fault) {
  if (name == "state") {
    filter.state = parse_job_state(value);
    if (!filter.state)
      fault = wrong_parameter("state", "must be pending, scheduled, available, running, "
                                       "retryable, completed, cancelled or discarded");
  } else if (name == "queue" || name == "kind") {
    if (!is_valid_name(value))
      fault = wrong_parameter(std::string{name}, "must be " + std::string{name_form});
    (name == "queue" ? filter.queue : filter.kind) = std::move(value);
  } else {
    return false;
  }
  return true;
}

std::optional<response> read_page_size(std::string_view text, int most, int& limit) {
  const char* last = text.data() + text.size();
  const auto [end, ec] = std::from_chars(text.data(), last, limit);
  if (ec == std::errc{} && end == last && limit >= 1 && limit <= most)
    return std::nullopt;
  return wrong_parameter("limit", "must be an integer from 1 to " + std::to_string(most));
}

response outside_scope(std::string_view token, std::string_view queue) {
  return problem_response(make_problem(403, "queue_not_allowed",
                                       "the token " + std::string{token} + " is not for the queue "
                                           + std::string{queue.substr(0, 128)}));
}

response no_body_taken() {
  return problem_response(invalid_fields({{"", "this request takes no body or {}"}}));
}

} // namespace troupe::http
