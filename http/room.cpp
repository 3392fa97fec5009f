#include "http/room.hpp"

#include "http/problem.hpp"

#include <utility>

namespace troupe::http {

response no_room() {
  auto fault = make_problem(503, "no_room",
                            "this node holds as many bytes of requests and answers as it may");
  fault.retryable = true;
  fault.retry_after = 1;
  return problem_response(std::move(fault));
}

} // namespace troupe::http
