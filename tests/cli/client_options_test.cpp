// The commands that ask a server: what is understood, what is refused, and with which advice.
#include "tests/cli/parsed.hpp"
#include "tests/cli/set_variable.hpp"
#include "tests/support/says.hpp"

using namespace troupe::cli;
using namespace troupe::tests;

BOOST_AUTO_TEST_CASE(get_and_show_are_one_word_and_so_are_list_and_ls) {
  BOOST_TEST((good({"jobs", "show", "5"}).what == command::jobs_get));
  BOOST_TEST((good({"queues", "get", "q"}).what == command::queues_show));
  BOOST_TEST((good({"nodes", "get", "n"}).what == command::nodes_show));
  BOOST_TEST(good({"jobs", "bulk", "get", "5"}).bulk.action == "show");
  BOOST_TEST(good({"jobs", "bulk", "ls"}).bulk.action == "list");
  BOOST_TEST((good({"jobs", "ls"}).what == command::jobs_list));
  BOOST_TEST((good({"queues", "ls"}).what == command::queues_list));
  BOOST_TEST((good({"nodes", "ls"}).what == command::nodes_list));
  BOOST_TEST((good({"tokens", "ls"}).what == command::tokens_list));
}

BOOST_AUTO_TEST_CASE(what_says_which_server_is_asked_is_looked_at_before_it_is_asked) {
  BOOST_TEST(says(bad({"jobs", "list", "--url", ""}), "--url is empty"));
  BOOST_TEST(says(bad({"jobs", "list", "--url", "http://h", "--ca-file", "/no/such.crt"}),
                  "--ca-file: '/no/such.crt' cannot be read"));
}

BOOST_AUTO_TEST_CASE(every_command_is_told_how_to_talk) {
  const set_variable colour("NO_COLOR", "");
  const auto usual = good({"jobs", "list"}).talk;
  BOOST_TEST((!usual.quiet && !usual.verbose && !usual.plain && !usual.no_colour));
  BOOST_TEST(good({"-q", "jobs", "list"}).talk.quiet);
  BOOST_TEST(good({"version", "--verbose"}).talk.verbose);
  BOOST_TEST(good({"top", "--plain", "--no-color"}).talk.plain);
  BOOST_TEST(good({"top", "--plain", "--no-color"}).talk.no_colour);
  BOOST_TEST(!bad({"jobs", "list", "-q", "-v"}).empty());
  BOOST_TEST((good({"dev", "-v"}).log_level == troupe::log::level::debug));
  BOOST_TEST((good({"dev", "-q"}).log_level == troupe::log::level::error));
  BOOST_TEST((good({"dev", "-q", "--log-level", "warn"}).log_level == troupe::log::level::warn));
  const set_variable none("NO_COLOR", "1");
  BOOST_TEST(good({"jobs", "list"}).talk.no_colour);
}

BOOST_AUTO_TEST_CASE(a_server_is_asked_about_itself) {
  BOOST_TEST(!good({"health"}).ready);
  BOOST_TEST(good({"health", "--ready"}).ready);
  BOOST_TEST((good({"pool"}).what == command::pool));
  BOOST_TEST((good({"retention", "show", "--json"}).what == command::retention_show));
  BOOST_TEST((good({"retention", "reset", "mail"}).what == command::retention_reset));
  BOOST_TEST(
      (good({"retention", "set", "--completed", "1d"}).patch == R"({"completed_ms":86400000})"));
  const auto two =
      good({"retention", "set", "mail", "news", "--cancelled", "0", "--discarded", "forever"});
  BOOST_TEST(two.patch == R"({"cancelled_ms":0,"discarded_ms":null})");
  BOOST_TEST(two.ids.size() == 2U);
  BOOST_TEST(good({"retention", "set", "--completed", "3650d"}).ids.empty());
  BOOST_TEST(good({"audit", "list", "--limit", "7"}).list.limit == 7);
  BOOST_TEST(good({"audit", "ls", "--all"}).list.all);
  BOOST_TEST(*good({"exports", "list", "--queue", "q"}).list.queue == "q");
  BOOST_TEST(!bad({"exports", "list", "--queue", "a b"}).empty());
  BOOST_TEST((good({"exports", "show", "3", "4"}).ids == std::vector<std::string>{"3", "4"}));
  BOOST_TEST((good({"exports", "delete", "3"}).what == command::exports_delete));
  BOOST_TEST(!bad({"exports", "get", "x"}).empty());
  BOOST_TEST((good({"nodes", "quiet", "w"}).what == command::nodes_quiet));
  BOOST_TEST((good({"nodes", "terminate", "w"}).what == command::nodes_terminate));
}

BOOST_AUTO_TEST_CASE(the_limits_of_a_queue_become_what_the_server_takes) {
  const auto limits = [](std::vector<std::string> words) {
    words.insert(words.begin(), {"queues", "limit", "mail"});
    return good(words).patch;
  };
  BOOST_TEST(limits({"--concurrency", "3"}) == R"({"concurrency":3})");
  BOOST_TEST(limits({"--concurrency", "none", "--rate", "none"})
             == R"({"concurrency":null,"rate":null})");
  BOOST_TEST(limits({"--rate", "10/s"}) == R"({"rate":{"jobs":10,"period_ms":1000,"burst":1}})");
  BOOST_TEST(limits({"--rate", "100/5min", "--burst", "20"})
             == R"({"rate":{"jobs":100,"period_ms":300000,"burst":20}})");
  BOOST_TEST(limits({"--key-concurrency", "2", "--key-rate", "5/s", "--key-burst", "3"})
             == R"({"key_concurrency":2,"key_rate":{"jobs":5,"period_ms":1000,"burst":3}})");
  BOOST_TEST(limits({"--rate", "1/s", "--key-rate", "none", "--key-concurrency", "none"})
             == R"({"rate":{"jobs":1,"period_ms":1000,"burst":1},"key_concurrency":null,)"
                R"("key_rate":null})");
  BOOST_TEST(limits({"--ordered", "on"}) == R"({"ordered":true})");
  BOOST_TEST(limits({"--concurrency", "2", "--ordered", "off"})
             == R"({"concurrency":2,"ordered":false})");
  BOOST_TEST(!bad({"queues", "limit", "mail", "--ordered", "maybe"}).empty());
  BOOST_TEST(bad({"queues", "limit", "mail", "--key-concurrency", "0"}).find("--key-concurrency")
             != std::string::npos);
  BOOST_TEST(bad({"queues", "limit", "mail", "--key-rate", "5"}).find("--key-rate")
             != std::string::npos);
  BOOST_TEST(!bad({"queues", "limit", "mail", "--rate", "5/s", "--key-burst", "2"}).empty());
  BOOST_TEST(says(bad({"queues", "limit", "mail", "--rate", "none", "--burst", "3"}),
                  "--burst goes with a rate"));
  BOOST_TEST(says(bad({"queues", "limit", "mail", "--key-rate", "none", "--key-burst", "3"}),
                  "--key-burst goes with a rate"));
  for (const auto* wrong :
       {"10", "0/s", "x/s", "10/", "/s", "10/fortnight", "1/25h", "1/0s", "-1/s"})
    BOOST_TEST(bad({"queues", "limit", "mail", "--rate", wrong}).find("--rate")
                   != std::string::npos,
               wrong);
  BOOST_TEST(bad({"queues", "limit", "mail"}).find("--concurrency") != std::string::npos);
  BOOST_TEST(good({"queues", "limit", "mail", "--rate", "1/s", "--create"}).create_queue);
  BOOST_TEST(!good({"queues", "pause", "mail"}).create_queue);
  BOOST_TEST(!bad({"queues", "resume", "mail", "--create"}).empty());
  BOOST_TEST(bad({"queues", "limit", "a b", "--rate", "1/s"}).find("'a b' is no queue")
             != std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_export_is_read_whole_and_its_words_are_checked) {
  const auto found = good({"export", "--format", "csv", "--state", "running", "--queue", "q",
                           "--kind", "k", "--out", "a/b.csv"});
  BOOST_TEST((found.what == command::export_jobs));
  BOOST_TEST(found.exported.format == "csv");
  BOOST_TEST(found.exported.out == "a/b.csv");
  BOOST_TEST(*found.list.state == "running");
  BOOST_TEST(*found.list.queue == "q");
  BOOST_TEST(*found.list.kind == "k");
  BOOST_TEST(good({"export"}).exported.format == "ndjson");
  BOOST_TEST(good({"export", "--out", "a.csv"}).exported.format == "csv");
  BOOST_TEST(good({"export", "--stored", "--gzip", "--out", "a.json.gz"}).exported.format
             == "json");
  BOOST_TEST(good({"export", "--out", "csv"}).exported.format == "ndjson");
  BOOST_TEST(good({"export", "--format", "json", "--out", "a.csv"}).exported.format == "json");
  BOOST_TEST(good({"export"}).exported.out.empty());
  const auto stored = good({"export", "--stored", "--gzip", "--out", "a.gz"}).exported;
  BOOST_TEST(stored.stored);
  BOOST_TEST(stored.gzip);
  BOOST_TEST(!found.exported.stored);
  BOOST_TEST(!bad({"export", "--stored"}).empty());
  BOOST_TEST(!bad({"export", "--gzip", "--out", "a.gz"}).empty());
  BOOST_TEST(!bad({"export", "--format", "xml"}).empty());
  BOOST_TEST(!bad({"export", "--state", "lost"}).empty());
}
