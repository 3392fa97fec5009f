// Which server a POOL reaches: names with several addresses, a primary and its standby, a server
// with TLS. The names are answered by the test in place of a resolver, the servers are real.
#include "tests/actors/control_client.hpp"
#include "tests/actors/pool_fixture.hpp"
#include "tests/support/certificates.hpp"
#include "tests/support/chaos_proxy.hpp"
#include "tests/support/own_server.hpp"

#include <map>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

const db::statement in_recovery{"in_recovery", "select pg_is_in_recovery()"};
const db::statement insert{"insert", "insert into kept values ($1::int8)"};
const db::statement there_and_back{"there_and_back", "select $1::text"};

/// After the cause has ended, and after the server serves a client without actors.
constexpr auto service_limit = 5s;

/// Knows some names itself.
class naming_loop : public poll_loop {
public:
  std::map<std::string, std::vector<std::string>> names;

  void resolve(std::string host, std::function<void(resolution)> callback) override {
    const auto known = names.find(host);
    if (known == names.end())
      return poll_loop::resolve(std::move(host), std::move(callback));
    post([found = resolution{known->second, {}}, callback = std::move(callback)] {
      callback(found);
    });
  }
};

struct reaching : pooled {
  naming_loop dns;

  ~reaching() { // before the loop that its connections use
    caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
    one = nullptr;
    sys.await_all_actors_done();
  }
  void reach(const std::string& url, std::size_t size = 2) {
    one = sys.spawn(pool, options_for(url, size), static_cast<io_loop*>(&dns), &counters);
  }
  bool reaches_standby() { return value_of<bool>(now(db::query{in_recovery})); }
  bool writes(std::int64_t key) { return code_of(now(db::query{insert}.bind(key))) == errc::none; }
};

std::string both(const own_server& one, const own_server& other, const std::string& more) {
  return "host=" + one.directory() + "," + other.directory()
         + " port=5432 user=postgres dbname=postgres " + more;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(hosts, reaching)

BOOST_AUTO_TEST_CASE(of_a_name_with_several_addresses_the_one_that_answers_is_used) {
  own_server server;
  const auto address = server.listen();
  const auto nobody = address.substr(0, address.rfind('.')) + ".254";
  dns.names["db.test"] = {nobody, address};
  reach("host=db.test user=postgres dbname=postgres");
  BOOST_TEST(!reaches_standby());
  dns.names["db.test"] = {}; // and the next name is asked then
  dns.names["other.test"] = {address, nobody};
  server.exec("select pg_terminate_backend(pid) from pg_stat_activity where application_name = "
              "'troupe'");
  caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
  reach("host=db.test,other.test user=postgres dbname=postgres");
  BOOST_TEST(!reaches_standby());
}

BOOST_AUTO_TEST_CASE(localhost_is_reached_though_one_of_its_addresses_refuses) {
  own_server server;
  chaos_proxy proxy{server.socket_path()}; // on 127.0.0.1 alone
  auto url = proxy.url("postgres");
  reach(url.replace(url.find("127.0.0.1"), 9, "localhost"));
  BOOST_TEST(!reaches_standby());
}

BOOST_AUTO_TEST_CASE(when_the_primary_goes_away_the_promoted_standby_serves_soon) {
  own_server primary;
  primary.exec("create table kept (key int8 primary key)");
  own_server standby{&primary};
  reach(both(standby, primary, ""));
  std::int64_t key = 0;
  BOOST_REQUIRE(writes(++key));
  primary.exec("alter system set synchronous_standby_names = '*'");
  primary.reload();
  BOOST_REQUIRE(writes(++key)); // is on the standby with this answer
  primary.stop_immediately();
  BOOST_TEST(!writes(++key));
  BOOST_REQUIRE(standby.value("select pg_promote()") == "t");
  const auto promoted = std::chrono::steady_clock::now();
  control_client control(standby.url());
  BOOST_TEST(await_until([&] { return writes(++key); }));
  const auto took = std::chrono::steady_clock::now() - promoted;
  BOOST_TEST((took < service_limit + control.longest()));
  BOOST_TEST(standby.value("select count(*) from kept where key <= 2") == "2");
}

BOOST_AUTO_TEST_CASE(a_standby_is_preferred_where_there_is_one) {
  own_server primary;
  own_server standby{&primary};
  reach(both(primary, standby, "target_session_attrs=prefer-standby"), 1);
  BOOST_TEST(reaches_standby());
  standby.stop_immediately();
  BOOST_TEST(await_until([&] {
    const auto answer = now(db::query{in_recovery});
    return code_of(answer) == errc::none && !value_of<bool>(answer);
  }));
}

BOOST_AUTO_TEST_CASE(fifty_megabytes_go_each_way_by_tls_at_once) {
  constexpr std::size_t each = 5'000'000, count = 10;
  certificates certs;
  certs.issue("server", "db.test");
  own_server server;
  dns.names["db.test"] = {server.listen()};
  for (const auto* name : {"server.crt", "server.key"})
    server.add_file(name, certs.file(name));
  server.configure("ssl = on");
  reach("host=db.test user=postgres dbname=postgres sslmode=verify-full sslrootcert="
            + certs.file("ca.crt"),
        1);
  std::vector<std::future<outcome_of>> asked;
  for (std::size_t i = 0; i < count; ++i)
    asked.push_back(
        ask(db::query{there_and_back}.bind(std::string(each + i, static_cast<char>('a' + i)))));
  for (std::size_t i = 0; i < count; ++i)
    BOOST_TEST((value_of<std::string>(wait(asked[i]))
                == std::string(each + i, static_cast<char>('a' + i))));
}

BOOST_AUTO_TEST_SUITE_END()
