// The pair of certificate and key: what is refused and in which words, what a change does, and what
// health says of it as time goes.
#include "http/tls_context.hpp"
#include "tests/http/tls_end.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

using namespace troupe;
using namespace troupe::http;
using namespace troupe::tests;

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

std::string file(const std::string& name) {
  return tests_certificates().file(name);
}

std::string text_of(const std::string& path) {
  std::ifstream in{path};
  return {std::istreambuf_iterator<char>{in}, {}};
}

/// Files of a test's own.
struct pair {
  explicit pair(const std::string& name = "server") {
    write("a.crt", text_of(file(name + ".crt")));
    write("a.key", text_of(file(name + ".key")));
  }
  void write(const std::string& name, const std::string& text) const {
    { std::ofstream{path("next")} << text; }
    fs::permissions(path("next"), fs::perms::owner_read | fs::perms::owner_write);
    fs::rename(path("next"), path(name));
  }
  std::string path(const std::string& name) const { return (dir.path() / name).string(); }
  tls_files files() const { return {path("a.crt"), path("a.key")}; }

  temp_dir dir;
};

/// Why it is refused, or empty.
std::string refused(const tls_files& files) {
  try {
    const tls_context made{files};
    return {};
  } catch (const std::runtime_error& e) {
    return e.what();
  }
}

bool says(const std::string& text, const std::string& part) {
  BOOST_TEST_INFO(text);
  return text.find(part) != std::string::npos;
}

} // namespace

BOOST_AUTO_TEST_CASE(a_pair_that_cannot_be_used_is_refused_with_its_file_and_reason) {
  const pair good;
  BOOST_TEST(refused(good.files()).empty());
  BOOST_TEST(says(refused({good.path("no.crt"), good.path("a.key")}), "no.crt' cannot be opened"));
  BOOST_TEST(says(refused({good.path("a.crt"), good.dir.path().string()}), "is no file"));
  BOOST_TEST(says(refused({good.path("a.key"), good.path("a.key")}), "is no PEM certificate"));
  BOOST_TEST(says(refused({good.path("a.crt"), good.path("a.crt")}), "is no PEM key"));
  tests_certificates().issue("stranger", "localhost");
  const pair other{"stranger"};
  const auto mixed = refused({good.path("a.crt"), other.path("a.key")});
  BOOST_TEST(says(mixed, "does not belong to the certificate"));
  BOOST_TEST(says(mixed, other.path("a.key")));
  good.write("a.crt", std::string(1024 * 1024 + 1, 'x'));
  BOOST_TEST(says(refused(good.files()), "larger than 1 MiB"));
}

BOOST_AUTO_TEST_CASE(a_chain_is_taken_and_a_broken_one_refused) {
  const pair some;
  const auto leaf = text_of(file("server.crt"));
  const auto authority = text_of(file("ca.crt"));
  some.write("a.crt", leaf + authority);
  BOOST_TEST(refused(some.files()).empty());
  some.write("a.crt", leaf + authority.substr(0, authority.size() / 2) + "\n");
  BOOST_TEST(says(refused(some.files()), "in its chain"));
}

BOOST_AUTO_TEST_CASE(a_key_that_everybody_may_read_is_refused) {
  const pair some;
  for (const auto wide : {fs::perms::others_read, fs::perms::others_write}) {
    fs::permissions(some.path("a.key"), wide, fs::perm_options::add);
    BOOST_TEST(says(refused(some.files()), "open to everybody on this machine; chmod 600"));
    fs::permissions(some.path("a.key"), wide, fs::perm_options::remove);
  }
  fs::permissions(some.path("a.key"), fs::perms::group_read, fs::perm_options::add);
  BOOST_TEST(refused(some.files()).empty());
}

BOOST_AUTO_TEST_CASE(a_key_behind_a_passphrase_is_refused_and_nobody_is_asked) {
  const pair some;
  const auto locked = "openssl pkey -aes256 -passout pass:x -in " + some.path("a.key") + " -out "
                      + some.path("locked.key") + " 2>/dev/null";
  // NOLINTNEXTLINE(cert-env33-c,concurrency-mt-unsafe): fixed words
  BOOST_REQUIRE(std::system(locked.c_str()) == 0);
  BOOST_TEST(says(refused({some.path("a.crt"), some.path("locked.key")}), "passphrase"));
}

BOOST_AUTO_TEST_CASE(a_certificate_out_of_its_time_is_not_begun_with) {
  tests_certificates().issue("expired", "localhost", "ca", -1);
  BOOST_TEST(says(refused(pair{"expired"}.files()), "has expired on 20"));
}

BOOST_AUTO_TEST_CASE(health_sees_the_end_come) {
  const pair some; // ends in 30 days
  const tls_context context{some.files()};
  const auto now = std::chrono::system_clock::now();
  BOOST_TEST(context.check(now).name == "certificate");
  BOOST_TEST((context.check(now).status == health_status::ok));
  BOOST_TEST(context.check(now).detail.empty());
  BOOST_TEST((context.check(now + 24h * 15).status == health_status::ok));
  const auto soon = context.check(now + 24h * 17);
  BOOST_TEST((soon.status == health_status::degraded));
  BOOST_TEST(says(soon.detail, "it ends on 20"));
  const auto over = context.check(now + 24h * 31);
  BOOST_TEST((over.status == health_status::failing));
  BOOST_TEST(says(over.detail, "it has expired on 20"));
}

BOOST_AUTO_TEST_CASE(a_bad_new_pair_leaves_the_one_before_in_use_until_a_good_one_comes) {
  const pair some;
  tls_context context{some.files()};
  const auto before = context.current();
  const auto now = std::chrono::system_clock::now();
  for (const std::string bad : {"expired", "stranger"}) {
    if (bad == "expired")
      tests_certificates().issue("expired", "localhost", "ca", -1);
    else
      tests_certificates().issue("stranger", "localhost");
    some.write("a.crt", text_of(file(bad + ".crt"))); // its key does not come with it
    BOOST_TEST(!context.reload());
    BOOST_TEST((context.current() == before));
    const auto said = context.check(now);
    BOOST_TEST((said.status == health_status::degraded));
    BOOST_TEST(says(said.detail, "the one before stays in use"));
    BOOST_TEST(says(said.detail, bad == "expired" ? "has expired" : "does not belong"));
  }
  some.write("a.key", text_of(file("stranger.key")));
  BOOST_TEST(context.reload());
  BOOST_TEST((context.current() != before));
  BOOST_TEST((context.check(now).status == health_status::degraded)); // a day is left of it
  BOOST_TEST(!says(context.check(now).detail, "before"));
}

BOOST_AUTO_TEST_CASE(files_are_read_again_only_when_they_have_changed) {
  const pair some;
  tls_context context{some.files()};
  const auto first = context.current();
  context.reload_if_changed();
  BOOST_TEST((context.current() == first));
  some.write("a.crt", text_of(file("server.crt"))); // the same text in another file
  context.reload_if_changed();
  const auto second = context.current();
  BOOST_TEST((second != first));
  some.write("a.key", "");
  context.reload_if_changed();
  const auto said = context.check(std::chrono::system_clock::now()).detail;
  BOOST_TEST(says(said, "is no PEM key"));
  some.write("a.key", text_of(file("server.key")));
  context.reload_if_changed();
  BOOST_TEST((context.current() != second));
  BOOST_TEST(context.check(std::chrono::system_clock::now()).detail.empty());
}

BOOST_AUTO_TEST_CASE(any_thread_may_ask_while_another_reads_the_files_again) {
  const pair some;
  tls_context context{some.files()};
  std::atomic<bool> over{false};
  std::atomic<int> wrong{0};
  std::thread asking{[&] {
    while (!over)
      if (!context.current() || context.check(std::chrono::system_clock::now()).name.empty())
        ++wrong;
  }};
  for (int i = 0; i < 50; ++i) {
    if (!context.reload())
      ++wrong;
    context.reload_if_changed();
  }
  over = true;
  asking.join();
  BOOST_TEST(wrong == 0);
}
