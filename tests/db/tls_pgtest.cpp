// TLS with a real server and certificates made for the purpose: each sslmode gives what libpq's
// documentation says, refusals say what is wrong, and much data goes both ways at once, by COPY
// too.
#include "db/connecting.hpp"
#include "tests/db/patient_connection.hpp"
#include "tests/support/certificates.hpp"
#include "tests/support/drive.hpp"
#include "tests/support/own_server.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;

namespace {

const statement encrypted{"encrypted", "select ssl from pg_stat_ssl where pid = pg_backend_pid()"};
const statement there_and_back{"there_and_back", "select $1::text"};
const statement made_table{"made",
                           "create temp table t (n int generated always as identity, a text)"};
const statement filled{"filled", "copy t (a) from stdin"};
const statement emptied{"emptied", "copy (select a from t order by n) to stdout"};

/// One server for all cases, at an address that certificates name db.test.
struct served {
  served() {
    certs.issue("good", "db.test");
    certs.issue("elsewhere", "other.test");
    certs.issue("expired", "db.test", "ca", -1);
    certs.make_authority("nobody");
    certs.issue("unknown", "db.test", "nobody");
    certs.issue("client", "needs_cert");
    certs.issue("other_client", "somebody");
    certs.issue("foreign_client", "needs_cert", "nobody");
    address = server.listen();
    server.add_file("root.crt", certs.file("ca.crt"));
    show("good");
    server.configure("ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\n"
                     "ssl_ca_file = 'root.crt'",
                     "hostssl all needs_cert all cert\nhostnossl all needs_cert all reject\n"
                     "hostnossl all only_tls all reject");
    server.exec("create role needs_cert login; create role only_tls login");
  }
  void show(const std::string& name) const {
    server.add_file("server.crt", certs.file(name + ".crt"));
    server.add_file("server.key", certs.file(name + ".key"));
  }
  void present(const std::string& name) const {
    show(name);
    server.reload();
  }
  std::string url(const std::string& mode, const std::string& more = "",
                  const std::string& user = "postgres") const {
    return "host=db.test hostaddr=" + address + " user=" + user + " dbname=postgres sslmode=" + mode
           + " " + more;
  }
  std::string trusting(const std::string& mode) const {
    return url(mode, "sslrootcert=" + certs.file("ca.crt"));
  }

  certificates certs;
  own_server server;
  std::string address;
};

/// With the good certificate, and no file of the user's that libpq would look at.
struct with_server {
  with_server() {
    ::setenv("HOME", "/tmp/troupe-nobody-lives-here", 1);
    on().present("good");
  }
  static served& on() {
    static served all;
    return all;
  }
};

bool is_encrypted(const std::string& url) {
  auto made = connect(url);
  return rows(made, query{encrypted}).one().get<bool>(0);
}

std::string refused(const std::string& url) {
  const auto why = connect_failure(url);
  BOOST_TEST((why.code == errc::unavailable));
  return why.message;
}

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(tls, with_server)

BOOST_AUTO_TEST_CASE(with_a_good_certificate_each_mode_connects_as_it_says) {
  BOOST_TEST(!is_encrypted(on().url("disable")));
  BOOST_TEST(!is_encrypted(on().url("allow")));
  BOOST_TEST(is_encrypted(on().url("prefer")));
  BOOST_TEST(is_encrypted(on().url("require")));
  BOOST_TEST(is_encrypted(on().trusting("verify-ca")));
  BOOST_TEST(is_encrypted(on().trusting("verify-full")));
}

BOOST_AUTO_TEST_CASE(another_hosts_certificate_is_refused_by_verify_full_alone) {
  on().present("elsewhere");
  for (const auto* mode : {"prefer", "require", "verify-ca"})
    BOOST_TEST(is_encrypted(on().trusting(mode)), mode);
  const auto why = refused(on().trusting("verify-full"));
  BOOST_TEST(says(why, "certificate for \"other.test\" does not match host name \"db.test\""), why);
  BOOST_TEST(says(why, "; the host in the database URL has to be one of the certificate's names"),
             why);
}

BOOST_AUTO_TEST_CASE(expired_and_unknown_certificates_are_refused_by_those_who_verify) {
  for (const std::string which : {"expired", "unknown"}) {
    on().present(which);
    BOOST_TEST(is_encrypted(on().url("require")));
    // libpq: with a root certificate `require` is `verify-ca`.
    for (const auto* mode : {"require", "verify-ca", "verify-full"}) {
      const auto why = refused(on().trusting(mode));
      BOOST_TEST(says(why, "certificate verify failed"), why);
      BOOST_TEST(says(why, "; see that the server's certificate has not expired, and that "
                           "sslrootcert in the database URL is of the authority that signed it"),
                 why);
    }
  }
}

BOOST_AUTO_TEST_CASE(who_may_come_by_tls_only_is_told_so_without_it) {
  BOOST_TEST(is_encrypted(on().url("prefer", "", "only_tls")));
  const auto why = connect_failure(on().url("disable", "", "only_tls"));
  BOOST_TEST(why.sqlstate == "28000");
  BOOST_TEST(says(why.message, "no encryption"), why.message);
  BOOST_TEST(says(why.message, "pg_hba.conf"), why.message);
}

BOOST_AUTO_TEST_CASE(a_server_without_tls_serves_those_who_do_not_require_it) {
  on().server.exec("alter system set ssl = off");
  on().server.reload();
  for (const auto* mode : {"disable", "allow", "prefer"})
    BOOST_TEST(!is_encrypted(on().url(mode)), mode);
  for (const auto* mode : {"require", "verify-ca", "verify-full"})
    BOOST_TEST(says(refused(on().trusting(mode)), "server does not support SSL"), mode);
  on().server.exec("alter system reset ssl");
  on().server.reload();
}

BOOST_AUTO_TEST_CASE(a_client_that_has_to_show_a_certificate_is_told_what_is_wrong_with_it) {
  const auto shows = [](const std::string& name) {
    const auto& certs = on().certs;
    return on().url("require",
                    "sslcert=" + certs.file(name + ".crt") + " sslkey=" + certs.file(name + ".key"),
                    "needs_cert");
  };
  BOOST_TEST(is_encrypted(shows("client")));
  auto why = connect_failure(on().url("require", "", "needs_cert"));
  BOOST_TEST(says(why.message, "requires a valid client certificate"), why.message);
  BOOST_TEST(why.sqlstate == "28000");
  why = connect_failure(shows("other_client"));
  BOOST_TEST(says(why.message, "certificate authentication failed for user \"needs_cert\""),
             why.message);
  why = connect_failure(shows("foreign_client"));
  BOOST_TEST(says(why.message, "unknown ca"), why.message);
  why = connect_failure(on().url("require", "sslcert=/tmp/troupe-no-such.crt", "needs_cert"));
  BOOST_TEST((why.code == errc::invalid_argument));
  BOOST_TEST(says(why.message, "the file that sslcert in the database URL names"), why.message);
}

BOOST_AUTO_TEST_CASE(fifty_megabytes_go_each_way_at_once) {
  constexpr std::size_t each = 5'000'000, count = 10;
  auto made = connect_patiently(on().trusting("verify-full"));
  for (std::size_t i = 0; i < count; ++i) {
    query q{there_and_back};
    q.bind(std::string(each + i, static_cast<char>('a' + i)));
    made.submit(q);
  }
  made.flush();
  const auto all = answers(made, count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto text = std::get<result>(all[i].outcome).one().get<std::string>(0);
    BOOST_TEST((text == std::string(each + i, static_cast<char>('a' + i))));
  }
}

BOOST_AUTO_TEST_CASE(rows_of_all_lengths_go_in_and_come_out_by_copy) {
  std::string sent;
  for (std::size_t length = 1; sent.size() < 20'000'000; length = length * 5 / 4 % 100'000 + 1)
    sent += std::string(length, static_cast<char>('a' + length % 26)) + '\n';
  auto on_it = connect_patiently(on().trusting("verify-full"));
  rows(on_it, query{made_table});
  on_it.copy(query{filled});
  while (on_it.copying() == connection::copy_state::starting)
    step(on_it);
  for (std::size_t at = 0; at < sent.size(); at += connection::max_copy_put)
    while (!on_it.copy_put(std::string_view{sent}.substr(at, connection::max_copy_put)))
      step(on_it);
  on_it.copy_end();
  BOOST_REQUIRE(std::holds_alternative<result>(answers(on_it, 1).front().outcome));
  on_it.copy(query{emptied});
  std::string came;
  for (;;) {
    while (auto chunk = on_it.copy_chunk())
      came += *chunk;
    if (on_it.next())
      break;
    step(on_it);
  }
  BOOST_TEST((came == sent));
}

BOOST_AUTO_TEST_SUITE_END()
