// What options say about tokens: which one is shown, where one is required, and what a new one may
// do. A secret is never told again.
#include "cli/options.hpp"
#include "cli/setting_view.hpp"
#include "tests/cli/parsed.hpp"
#include "tests/cli/set_variable.hpp"
#include "tests/support/says.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::cli;
using namespace troupe::tests;

namespace {

struct clean_environment {
  clean_environment() {
    for (const char* name : {"DATABASE_URL", "TROUPE_TOKEN", "TROUPE_TOKEN_FILE", "TROUPE_LISTEN",
                             "TROUPE_REQUIRE_TOKENS", "TROUPE_PLAIN_HTTP", "TROUPE_CONFIG"})
      ::unsetenv(name);
  }
};

class token_file {
public:
  explicit token_file(const std::string& text) { std::ofstream{path()} << text; }
  std::string path() const { return (folder_.path() / "token").string(); }

private:
  tests::temp_dir folder_;
};

} // namespace

BOOST_TEST_GLOBAL_FIXTURE(clean_environment);

BOOST_AUTO_TEST_CASE(a_token_comes_from_a_file_or_else_from_the_variable) {
  BOOST_TEST(good({"jobs", "list"}).client.token.empty());
  const set_variable variable("TROUPE_TOKEN", "trp_variable");
  BOOST_TEST(good({"jobs", "list"}).client.token == "trp_variable");
  BOOST_TEST(good({"top"}).client.token == "trp_variable");
  const token_file one{"trp_one\n"};
  const token_file two{"trp_two"};
  BOOST_TEST(good({"jobs", "watch", "1", "--token-file", one.path()}).client.token == "trp_one");
  const set_variable file("TROUPE_TOKEN_FILE", two.path());
  BOOST_TEST(good({"jobs", "list"}).client.token == "trp_two");
  BOOST_TEST(good({"jobs", "list", "--token-file", one.path()}).client.token == "trp_one");
}

BOOST_AUTO_TEST_CASE(what_is_no_token_is_refused_where_it_is_used_and_not_told_again) {
  for (const std::string& text : std::vector<std::string>{"", "\n", "secret word", "secret\nword",
                                                          "secret\tword", std::string(5000, 'x')}) {
    const token_file file{text};
    const auto told = bad({"jobs", "list", "--token-file", file.path()});
    BOOST_TEST(says(told, file.path()));
    BOOST_TEST(!says(told, "secret"));
    BOOST_TEST(!says(told, "xxxx"));
  }
  BOOST_TEST(says(bad({"jobs", "list", "--token-file", "/nowhere"}), "cannot be read"));
  const set_variable variable("TROUPE_TOKEN", "secret word");
  const auto told = bad({"jobs", "list"});
  BOOST_TEST(says(told, "TROUPE_TOKEN"));
  BOOST_TEST(!says(told, "secret"));
  BOOST_TEST((good({"version"}).what == command::version));
}

BOOST_AUTO_TEST_CASE(beyond_loopback_tokens_are_required_and_plain_http_allowed) {
  const auto open = bad({"dev", "--listen", "0.0.0.0:1"});
  BOOST_TEST(says(open, "anything"));
  BOOST_TEST(says(open, "--require-tokens and --tls-cert (or --plain-http)"));
  BOOST_TEST(says(open, "--insecure-listen"));
  BOOST_TEST(says(bad({"dev", "--listen", "0.0.0.0:1", "--plain-http"}), "anything"));
  const auto plain = bad({"dev", "--listen", "0.0.0.0:1", "--require-tokens"});
  BOOST_TEST(says(plain, "unencrypted"));
  BOOST_TEST(says(plain, "--plain-http"));
  const auto both = good({"dev", "--listen", "0.0.0.0:1", "--require-tokens", "--plain-http"});
  BOOST_TEST(both.engine.require_tokens);
  BOOST_TEST(both.engine.address == "0.0.0.0");
  BOOST_TEST(good({"dev", "--require-tokens"}).engine.require_tokens);
  BOOST_TEST(!good({"dev"}).engine.require_tokens);
  BOOST_TEST(!good({"dev", "--listen", "0.0.0.0:1", "--insecure-listen"}).engine.require_tokens);
  const set_variable required("TROUPE_REQUIRE_TOKENS", "true");
  BOOST_TEST(good({"dev"}).engine.require_tokens);
  BOOST_TEST(says(bad({"dev", "--listen", "[::]:1"}), "--plain-http"));
  const set_variable allowed("TROUPE_PLAIN_HTTP", "true");
  BOOST_TEST(good({"dev", "--listen", "[::]:1"}).engine.address == "::");
}

BOOST_AUTO_TEST_CASE(whether_tokens_are_required_is_no_secret) {
  BOOST_TEST(!is_secret("require_tokens"));
  BOOST_TEST(is_secret("token"));
  BOOST_TEST(!is_secret("token_file"));
}

BOOST_AUTO_TEST_CASE(a_new_token_has_a_name_and_a_role) {
  const auto made = good({"tokens", "create", "--name", "ci", "--role", "producer", "--queue",
                          "mail", "--queue", "news", "--expires-in", "24h"});
  BOOST_TEST((made.what == command::tokens_create));
  BOOST_TEST(made.token.name == "ci");
  BOOST_TEST((made.token.may == role::producer));
  BOOST_TEST((made.token.queues == std::vector<std::string>{"mail", "news"}));
  BOOST_TEST((made.token.valid_for == std::chrono::hours{24}));
  BOOST_TEST(made.engine.database_url.empty());
  const auto first = good(
      {"tokens", "create", "--database", "postgresql:///x", "--name", "ada", "--role", "admin"});
  BOOST_TEST(first.engine.database_url == "postgresql:///x");
  BOOST_TEST(!first.token.valid_for.has_value());
  const auto wrong = [](std::vector<std::string> more) {
    std::vector<std::string> all{"tokens", "create"};
    all.insert(all.end(), more.begin(), more.end());
    return bad(std::move(all));
  };
  BOOST_TEST(says(wrong({"--role", "viewer"}), "--name"));
  BOOST_TEST(says(wrong({"--name", "ci"}), "--role"));
  BOOST_TEST(says(wrong({"--name", "ci", "--role", "root"}), "operator"));
  BOOST_TEST(says(wrong({"--name", "a b", "--role", "viewer"}), "--name"));
  BOOST_TEST(says(wrong({"--name", "ci", "--role", "viewer", "--queue", "a b"}), "no queue"));
  BOOST_TEST(says(wrong({"--name", "ci", "--role", "admin", "--queue", "a"}), "all queues"));
  BOOST_TEST(says(wrong({"--name", "ci", "--role", "viewer", "--expires-in", "0s"}), "87600h"));
  BOOST_TEST(says(wrong({"--name", "ci", "--role", "viewer", "--expires-in", "87601h"}), "87600h"));
  BOOST_TEST(says(wrong({"--name", "ci", "--role", "viewer", "--expires-in", "x"}), "no time"));
}

BOOST_AUTO_TEST_CASE(tokens_are_listed_and_revoked_by_number) {
  BOOST_TEST((good({"tokens", "list", "--json"}).what == command::tokens_list));
  BOOST_TEST(good({"tokens", "revoke", "7"}).ids.front() == "7");
  bad({"tokens", "revoke", "x"});
  bad({"tokens", "revoke"});
  bad({"tokens"});
}
