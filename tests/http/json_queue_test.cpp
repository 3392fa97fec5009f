// A queue as it is written: with nothing said of it, and with all that can be.
#include "http/json_queue.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;
using namespace troupe::http;

namespace {

std::string written(const queue_record& queue) {
  std::string out;
  append_queue(out, queue);
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(what_nobody_has_said_is_null) {
  queue_record queue;
  queue.name = "mail";
  queue.waiting = 3;
  BOOST_TEST(written(queue)
             == R"({"name":"mail","paused":false,"paused_at":null,"concurrency":null,"rate":null,)"
                R"("key_concurrency":null,"key_rate":null,"ordered":false,"max_waiting":null,)"
                R"("waiting":3,"running":0,"version":0,"changed_at":null})");
}

BOOST_AUTO_TEST_CASE(what_is_said_is_written_as_it_is_read) {
  queue_record queue;
  queue.name = "mail";
  queue.paused_at.emplace();
  queue.changed_at.emplace();
  queue.concurrency = 3;
  queue.rate = job_rate{100, std::chrono::milliseconds{60'000}, 5};
  queue.key_concurrency = 2;
  queue.key_rate.emplace();
  queue.ordered = true;
  queue.max_waiting = 20'000;
  queue.running = 2;
  queue.version = 7;
  BOOST_TEST(
      written(queue)
      == R"({"name":"mail","paused":true,"paused_at":"1970-01-01T00:00:00Z","concurrency":3,)"
         R"("rate":{"jobs":100,"period_ms":60000,"burst":5},"key_concurrency":2,)"
         R"("key_rate":{"jobs":1,"period_ms":1000,"burst":1},"ordered":true,)"
         R"("max_waiting":20000,"waiting":0,"running":2,"version":7,)"
         R"("changed_at":"1970-01-01T00:00:00Z"})");
}
