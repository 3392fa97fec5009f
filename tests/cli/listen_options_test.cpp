// Where a node is told to listen, with which certificate, and what is refused.
#include "cli/options.hpp"
#include "tests/cli/parsed.hpp"
#include "tests/cli/set_variable.hpp"
#include "tests/support/says.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <fstream>
#include <string>

using namespace troupe;
using namespace troupe::cli;
using namespace troupe::tests;

BOOST_AUTO_TEST_CASE(a_node_listens_on_a_port_a_path_or_both) {
  const auto port = good({"dev", "--listen", "[::1]:1"}).engine;
  BOOST_TEST(port.address == "::1");
  BOOST_TEST(port.socket_path.empty());
  const auto path = good({"dev", "--listen", "unix:/run/t.sock"}).engine;
  BOOST_TEST(path.address.empty());
  BOOST_TEST(path.socket_path == "/run/t.sock");
  BOOST_TEST(path.socket_mode == 0600U);
  const set_variable listen("TROUPE_LISTEN", "unix:/run/t.sock,127.0.0.1:7");
  const auto both = good({"dev", "--socket-mode", "0660"}).engine;
  BOOST_TEST(both.address == "127.0.0.1");
  BOOST_TEST(both.port == 7);
  BOOST_TEST(both.socket_path == "/run/t.sock");
  BOOST_TEST(both.socket_mode == 0660U);
}

BOOST_AUTO_TEST_CASE(callers_are_limited_where_that_is_said) {
  BOOST_TEST(good({"dev"}).engine.http_rate == 0);
  const auto set = good({"dev", "--http-rate", "1000000", "--http-burst", "1"}).engine;
  BOOST_TEST(set.http_rate == 1'000'000);
  BOOST_TEST(set.http_burst == 1);
  for (const std::string wrong : {"-1", "1000001", "many"})
    BOOST_TEST(says(bad({"dev", "--http-rate", wrong}), "--http-rate"));
}

BOOST_AUTO_TEST_CASE(places_that_are_none_are_refused) {
  const auto refused = [](const std::string& text) { return bad({"dev", "--listen", text}); };
  BOOST_TEST(says(refused("unix:t.sock"), "begins with /"));
  BOOST_TEST(says(refused("unix:"), "begins with /"));
  BOOST_TEST(says(refused("unix:/" + std::string(107, 's')), "at most 107 bytes"));
  BOOST_TEST(good({"dev", "--listen", "unix:/" + std::string(106, 's')}).engine.socket_path.size()
             == 107U);
  BOOST_TEST(says(refused("127.0.0.1:1,127.0.0.1:2"), "two places of one kind"));
  BOOST_TEST(says(refused("unix:/a,unix:/b"), "two places of one kind"));
  BOOST_TEST(says(refused("unix:/a,"), "is no HOST:PORT"));
  BOOST_TEST(says(refused(""), "is no HOST:PORT"));
  BOOST_TEST(says(bad({"dev", "--socket-mode", "0666"}), "0600,0660"));
}

BOOST_AUTO_TEST_CASE(certificate_and_key_belong_together_and_to_a_port) {
  const auto both = good({"dev", "--tls-cert", "a.crt", "--tls-key", "a.key"}).engine;
  BOOST_TEST(both.tls_certificate == "a.crt");
  BOOST_TEST(both.tls_key == "a.key");
  BOOST_TEST(says(bad({"dev", "--tls-cert", "a.crt"}), "belong together"));
  BOOST_TEST(says(bad({"dev", "--tls-key", "a.key"}), "belong together"));
  BOOST_TEST(says(bad({"dev", "--listen", "unix:/a", "--tls-cert", "a", "--tls-key", "b"}),
                  "without TLS"));
  const set_variable certificate("TROUPE_TLS_CERT", "v.crt");
  const set_variable key("TROUPE_TLS_KEY", "v.key");
  BOOST_TEST(good({"dev"}).engine.tls_certificate == "v.crt");
}

BOOST_AUTO_TEST_CASE(beyond_loopback_tokens_and_tls_are_enough) {
  const auto with_tls = [](std::vector<std::string> more) {
    std::vector<std::string> all{"dev",   "--listen",  "0.0.0.0:1", "--tls-cert",
                                 "a.crt", "--tls-key", "a.key"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  BOOST_TEST(good(with_tls({"--require-tokens"})).engine.address == "0.0.0.0");
  const auto open = bad(with_tls({}));
  BOOST_TEST(says(open, "anything"));
  BOOST_TEST(says(open, "add --require-tokens, or --insecure-listen"));
  BOOST_TEST(good(with_tls({"--insecure-listen"})).engine.address == "0.0.0.0");
  BOOST_TEST(says(bad({"dev", "--listen", "0.0.0.0:1", "--require-tokens"}), "--tls-cert"));
  BOOST_TEST(says(bad({"dev", "--listen", "unix:/a,0.0.0.0:1"}), "anything"));
  BOOST_TEST(good({"dev", "--listen", "unix:/a"}).engine.address.empty());
}

BOOST_AUTO_TEST_CASE(spans_go_to_a_collector_that_is_trusted_and_as_many_as_asked) {
  const auto usual = good({"dev", "--otlp-endpoint", "https://c:4318"}).engine;
  BOOST_TEST(usual.otlp_ca_file.empty());
  BOOST_TEST(usual.otlp_sample_ratio == 1);
  const auto some = good({"dev", "--otlp-endpoint", "https://c:4318", "--otlp-ca-file", "ca.crt",
                          "--otlp-sample-ratio", "0.25"})
                        .engine;
  BOOST_TEST(some.otlp_ca_file == "ca.crt");
  BOOST_TEST(some.otlp_sample_ratio == 0.25);
  BOOST_TEST(says(bad({"dev", "--otlp-endpoint", "http://c:4318", "--otlp-ca-file", "ca.crt"}),
                  "without TLS"));
  for (const auto* wrong : {"-0.1", "1.01", "nan", "half"})
    BOOST_TEST(says(bad({"dev", "--otlp-sample-ratio", wrong}), "from 0 to 1"), wrong);
  const set_variable ratio("TROUPE_OTLP_SAMPLE_RATIO", "0");
  BOOST_TEST(good({"dev"}).engine.otlp_sample_ratio == 0);
}

BOOST_AUTO_TEST_CASE(clients_are_told_whom_to_trust) {
  BOOST_TEST(good({"jobs", "list"}).client.ca_file.empty());
  const temp_dir folder; // the file is looked for
  const auto flag = (folder.path() / "ca.crt").string();
  const auto variable = (folder.path() / "v.crt").string();
  std::ofstream{flag};
  std::ofstream{variable};
  BOOST_TEST(good({"jobs", "list", "--ca-file", flag}).client.ca_file == flag);
  const set_variable trusted("TROUPE_CA_FILE", variable.c_str());
  BOOST_TEST(good({"jobs", "list"}).client.ca_file == variable);
  BOOST_TEST(good({"top", "--url", "unix:/run/t.sock"}).client.url == "unix:/run/t.sock");
}
