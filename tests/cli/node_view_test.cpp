// Nodes laid out for people.
#include "cli/exit_code.hpp"
#include "cli/node_view.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe::cli;

namespace {

const std::string full =
    R"({"id":"7","name":"n1","state":"alive","version":"1.2","started_at":"2026-11-23T08:55:05Z",)"
    R"("heartbeat_at":"2026-11-23T09:00:00.5Z","ended_at":null,"running":3,"slots":4,"queues":)"
    R"([{"queue":"mail","slots":2,"running":1},{"queue":"x","slots":4,"running":2}],"kinds":["a","b"]})";
const std::string worker =
    R"({"id":"6","name":"sql","state":"left","version":null,"started_at":"2026-11-23T08:55:05Z",)"
    R"("heartbeat_at":null,"ended_at":"2026-11-23T09:00:00Z","running":1,"slots":null,"queues":)"
    R"([{"queue":"mail","slots":null,"running":1}],"kinds":null})";

} // namespace

BOOST_AUTO_TEST_CASE(a_list_shows_one_line_per_node) {
  auto rows = nodes_table();
  add_nodes(rows, R"({"nodes":[)" + full + "," + worker + R"(],"next":"6"})");
  const auto text = rows.take();
  BOOST_TEST(text.find("n1     7  alive  2026-11-23 08:55:05Z  2026-11-23 09:00:00Z        3  "
                       "       4  mail 1/2, x 2/4")
                 != std::string::npos,
             text);
  BOOST_TEST(text.find("sql    6  left   2026-11-23 08:55:05Z  -                           1  "
                       "not told  mail 1/?")
                 != std::string::npos,
             text);
  BOOST_TEST(next_node(R"({"nodes":[],"next":"6"})") == "6");
  BOOST_TEST(next_node(R"({"nodes":[],"next":null})").empty());
  for (const auto* answer : {"", "[]", "{}", R"({"nodes":1})"})
    BOOST_CHECK_THROW(add_nodes(rows, answer), command_error);
}

BOOST_AUTO_TEST_CASE(one_node_shows_its_fields_and_queues) {
  const auto text = node_details(full);
  for (const auto* line : {"version       1.2", "heartbeat_at  2026-11-23 09:00:00Z",
                           "kinds         a, b", "mail       2        1", "x          4        2"})
    BOOST_TEST(text.find(line) != std::string::npos, text);
  BOOST_TEST(text.find("ended_at") == std::string::npos);
  const auto ended = node_details(worker);
  for (const auto* line : {"state         left", "version       not told", "heartbeat_at  -",
                           "ended_at      2026-11-23 09:00:00Z", "slots         not told"})
    BOOST_TEST(ended.find(line) != std::string::npos, ended);
}
