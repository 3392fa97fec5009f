// The private server's settings: what must never be weakened, and a socket directory of any name.
#include "launcher/postgres_configuration.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;

namespace {

bool has_line(const std::string& line, const char* directory = "/d/pg") {
  return postgres_configuration(directory).find("\n" + line + "\n") != std::string::npos;
}

} // namespace

BOOST_AUTO_TEST_CASE(durability_is_on_and_tcp_is_off) {
  for (const char* line : {"fsync = on", "full_page_writes = on", "synchronous_commit = on",
                           "listen_addresses = ''", "unix_socket_permissions = 0700"})
    BOOST_TEST(has_line(line), line);
}

BOOST_AUTO_TEST_CASE(the_socket_directory_is_quoted_for_the_list_and_for_the_file) {
  BOOST_TEST(has_line(R"(unix_socket_directories = '"/d/pg"')"));
  BOOST_TEST(has_line(R"(unix_socket_directories = '"/it''s ""a\\b"""')", R"(/it's "a\b")"));
}
