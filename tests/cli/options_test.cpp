// The command line: what is understood, what is refused, and with which advice.
#include "cli/options.hpp"
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
    for (const char* name :
         {"DATABASE_URL", "TROUPE_URL", "TROUPE_SLOTS", "TROUPE_LISTEN", "TROUPE_NODE",
          "TROUPE_LOG", "TROUPE_DATA_DIR", "TROUPE_CONFIG", "TROUPE_MAX_WAITING"})
      ::unsetenv(name);
  }
};

/// A configuration file for one test.
class config_file {
public:
  explicit config_file(const std::string& text) { std::ofstream{path()} << text; }
  std::string path() const { return (folder_.path() / "troupe.toml").string(); }

private:
  tests::temp_dir folder_;
};

} // namespace

BOOST_TEST_GLOBAL_FIXTURE(clean_environment);

BOOST_AUTO_TEST_CASE(dev_listens_on_loopback_with_test_kinds) {
  const auto found = good({"dev"});
  BOOST_TEST((found.what == command::dev));
  BOOST_TEST(found.engine.http);
  BOOST_TEST(found.engine.address == "127.0.0.1");
  BOOST_TEST(found.engine.port == 8080);
  BOOST_TEST(found.engine.test_kinds);
}

BOOST_AUTO_TEST_CASE(the_fixed_words_of_a_node_are_understood) {
  const set_variable url("DATABASE_URL", "postgresql:///x");
  const auto found =
      good({"serve",         "--listen", "[::1]:0",      "--node",        "n.1",
            "--data-dir",    "d",        "--test-kinds", "--queue",       "mail:8",
            "--queue=a:b:0", "--grace",  "1.5",          "--stuck-after", "2.5",
            "--slots",       "3",        "--log-level",  "debug",         "--log-format",
            "json"});
  BOOST_TEST(found.engine.database_url == "postgresql:///x");
  BOOST_TEST(found.engine.address == "::1");
  BOOST_TEST(found.engine.port == 0);
  BOOST_TEST(found.engine.node == "n.1");
  BOOST_TEST(found.engine.data_dir.front() == '/');
  BOOST_TEST(found.engine.queues.at("mail") == 8);
  BOOST_TEST(found.engine.queues.at("a:b") == 0);
  BOOST_TEST(found.engine.grace.count() == 1500);
  BOOST_TEST(found.engine.stuck_after.count() == 2500);
  BOOST_TEST(found.engine.slots == 3);
  BOOST_TEST((found.log_level == log::level::debug));
  BOOST_TEST((found.log_format == log::format::json));
}

BOOST_AUTO_TEST_CASE(serve_without_a_database_says_what_to_do) {
  const auto text = bad({"serve"});
  BOOST_TEST(says(text, "DATABASE_URL"));
  BOOST_TEST(says(text, "troupe dev"));
  BOOST_TEST(says(bad({"migrate"}), "DATABASE_URL"));
}

BOOST_AUTO_TEST_CASE(flags_win_over_variables_and_those_over_defaults) {
  const set_variable slots("TROUPE_SLOTS", "7");
  BOOST_TEST(good({"dev"}).engine.slots == 7);
  BOOST_TEST(good({"dev", "--slots", "9"}).engine.slots == 9);
  const set_variable prefetch("TROUPE_PREFETCH", "0");
  BOOST_TEST(good({"dev"}).engine.prefetch == 0);
  BOOST_TEST(good({"dev", "--prefetch", "4000"}).engine.prefetch == 4000);
}

BOOST_AUTO_TEST_CASE(a_wrong_variable_is_named_and_hurts_only_commands_that_use_it) {
  const set_variable slots("TROUPE_SLOTS", "many");
  BOOST_TEST(says(bad({"dev"}), "TROUPE_SLOTS"));
  BOOST_TEST((good({"version"}).what == command::version));
}

BOOST_AUTO_TEST_CASE(beyond_loopback_needs_an_explicit_word) {
  BOOST_TEST(says(bad({"dev", "--listen", "0.0.0.0:8080"}), "--insecure-listen"));
  BOOST_TEST(says(bad({"dev", "--listen", "[::]:8080"}), "--insecure-listen"));
  BOOST_TEST(good({"dev", "--listen", "0.0.0.0:1", "--insecure-listen"}).engine.address
             == "0.0.0.0");
  BOOST_TEST(good({"dev", "--listen", "127.0.0.9:1"}).engine.address == "127.0.0.9");
}

BOOST_AUTO_TEST_CASE(mistyped_words_get_the_nearest_one) {
  BOOST_TEST(says(bad({"enqueu", "echo"}), "did you mean enqueue?"));
  BOOST_TEST(says(bad({"jobs", "lst"}), "did you mean list?"));
  BOOST_TEST(says(bad({"queues", "puase", "q"}), "did you mean pause?"));
  BOOST_TEST(says(bad({"cancel", "5"}), "did you mean jobs cancel?"));
  BOOST_TEST(says(bad({"dev", "--slot", "3"}), "did you mean --slots?"));
  BOOST_TEST(says(bad({"dev", "--lisen=127.0.0.1:0"}), "did you mean --listen?"));
  BOOST_TEST(says(bad({"jobs", "list", "--state", "complete"}), "did you mean completed?"));
  BOOST_TEST(says(bad({"jobs", "bulk", "cancl", "--all"}), "did you mean cancel?"));
  BOOST_TEST(says(bad({"top", "--sort", "runing"}), "did you mean running?"));
  const set_variable level("TROUPE_LOG", "inof");
  BOOST_TEST(says(bad({"dev"}), "did you mean info? (set by the variable TROUPE_LOG)"));
  BOOST_TEST(says(bad({"xyzzy"}), "commands are"));
}

BOOST_AUTO_TEST_CASE(wrong_values_are_refused_with_the_way_to_the_help) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"dev", "--slots", "-1"},
           {"dev", "--slots", "many"},
           {"dev", "--slots"},
           {"dev", "--prefetch", "-1"},
           {"dev", "--prefetch", "4001"},
           {"dev", "--listen", "8080"},
           {"dev", "--listen", "127.0.0.1:70000"},
           {"dev", "--listen", "somewhere:80"},
           {"dev", "--queue", "mail"},
           {"dev", "--queue", "mail:-1"},
           {"dev", "--node", "a b"},
           {"dev", "--log-level", "loud"},
           {"dev", "extra"},
           {"enqueue"},
           {"enqueue", "echo", "--delay-ms", "1", "--run-at", "2030-01-31T08:00:00Z"},
           {"enqueue", "echo", "--timeout", "3"},
           {"jobs"},
           {"jobs", "get"},
           {"jobs", "why"},
           {"jobs", "why", "1", "2"},
           {"jobs", "get", "../../admin"},
           {"jobs", "watch"},
           {"jobs", "watch", "1", "x"},
           {"jobs", "watch", "1", "--timeout", "-1"},
           {"jobs", "logs"},
           {"jobs", "logs", "x"},
           {"jobs", "logs", "1", "--after", "-1"},
           {"jobs", "cancel", "0"},
           {"jobs", "list", "--limit", "0"},
           {"jobs", "list", "--limit", "5", "--all"},
           {"jobs", "bulk", "cancl", "--all"},
           {"enqueue", "echo", "--unique", "kind", "--on-conflict", "rejct"},
           {"top", "--interval", "0"},
           {"top", "--interval", "nan"},
           {"dev", "--grace", "nan"},
           {"dev", "--grace", "inf"},
           {"dev", "--stuck-after", "nan"},
           {"jobs", "watch", "1", "--timeout", "nan"},
           {"top", "--sort", "runing"},
           {"top", "extra"},
           {"config"},
           {"completion"},
           {"completion", "tcsh"},
           {"man", "jobs"},
           {"scrape"},
           {"scrape", "http://h/", "--max-pages", "0"},
           {"scrape", "http://h/", "--select", "noequals"},
           {"scrape", "http://h/", "--out", "items.xls"}})
    BOOST_TEST(says(bad(arguments), "--help"), arguments.back());
}

BOOST_AUTO_TEST_CASE(seconds_between_two_bounds_are_taken_with_both) {
  BOOST_TEST(good({"dev", "--grace", "0"}).engine.grace.count() == 0);
  BOOST_TEST(good({"dev", "--grace", "86400"}).engine.grace.count() == 86'400'000);
  BOOST_TEST(good({"dev", "--grace", "0.25"}).engine.grace.count() == 250);
  BOOST_TEST(
      says(bad({"dev", "--grace", "86401"}), "--grace: '86401' is not a number from 0 to 86400"));
  BOOST_TEST(says(bad({"dev", "--grace", "3x"}), "is not a number from"));
}

BOOST_AUTO_TEST_CASE(help_is_an_option_and_a_word) {
  const auto helped = [](std::vector<std::string> arguments) {
    auto parsed = parse(std::move(arguments));
    const auto* told = std::get_if<refusal>(&parsed);
    BOOST_REQUIRE(told != nullptr);
    BOOST_TEST(static_cast<int>(told->code) == 0);
    return told->text;
  };
  BOOST_TEST(helped({"help"}) == helped({"--help"}));
  BOOST_TEST(helped({"help", "jobs"}) == helped({"jobs", "--help"}));
  BOOST_TEST(helped({"help", "jobs", "list"}) == helped({"jobs", "list", "--help"}));
  BOOST_TEST(says(helped({"help", "jobs", "list"}), "--state"));
  BOOST_TEST(says(bad({"help", "xyzzy"}), "there is no command 'xyzzy'"));
  BOOST_TEST(says(bad({"jobs"}), "which command? There are list, counts, "));
}

BOOST_AUTO_TEST_CASE(a_job_is_read_whole) {
  const auto job = good({"enqueue",
                         "echo",
                         "--args",
                         R"({"a":[1]})",
                         "--queue",
                         "q",
                         "--priority",
                         "3",
                         "--max-attempts",
                         "2",
                         "--timeout-ms",
                         "100",
                         "--delay-ms",
                         "5",
                         "--tag",
                         "x",
                         "--tag",
                         "y",
                         "--wait",
                         "--timeout",
                         "2.5",
                         "--json"});
  BOOST_TEST(job.enqueue.kind == "echo");
  BOOST_TEST(job.enqueue.args == R"({"a":[1]})");
  BOOST_TEST((job.enqueue.tags == std::vector<std::string>{"x", "y"}));
  BOOST_TEST(*job.enqueue.priority == 3);
  BOOST_TEST(*job.enqueue.delay_ms == 5);
  BOOST_TEST(*job.enqueue.wait_limit == 2.5);
  BOOST_TEST(job.enqueue.wait);
  BOOST_TEST(job.json);
}

BOOST_AUTO_TEST_CASE(args_that_look_like_a_list_stay_one_text) {
  BOOST_TEST(good({"enqueue", "echo", "--args", "[1,2]"}).enqueue.args == "[1,2]");
  BOOST_TEST(good({"enqueue", "echo", "--args", "-"}).enqueue.args == "-");
}

BOOST_AUTO_TEST_CASE(a_scrape_is_read_whole) {
  const auto found = good({"scrape", "http://h/", "--out", "o/items.csv", "--max-pages", "10",
                           "--max-depth", "2", "--select", "t=//h1[@class='a,b']", "--select=u=//a",
                           "--allow-private", "--concurrency", "8", "--timeout", "60"});
  BOOST_TEST(found.scrape.url == "http://h/");
  BOOST_TEST(*found.scrape.max_pages == 10);
  BOOST_REQUIRE(found.scrape.selectors.size() == 2);
  BOOST_TEST(found.scrape.selectors[0].name == "t");
  BOOST_TEST(found.scrape.selectors[0].xpath == "//h1[@class='a,b']");
  BOOST_TEST(found.engine.allow_private);
  BOOST_TEST(found.engine.fetches == 8);
  BOOST_TEST(!found.engine.http);
}

BOOST_AUTO_TEST_CASE(what_top_shows_is_read_whole) {
  const auto found = good({"top", "--once", "--interval", "0.5", "--sort", "done/s", "--json"});
  BOOST_TEST((found.what == command::top));
  BOOST_TEST(found.top.once);
  BOOST_TEST(found.top.interval == 0.5);
  BOOST_TEST(found.top.sort == "done/s");
  BOOST_TEST(found.json);
  BOOST_TEST(good({"top"}).top.interval == 1);
}

BOOST_AUTO_TEST_CASE(several_ids_are_taken_where_they_make_sense) {
  BOOST_TEST(
      (good({"jobs", "cancel", "1", "22", "--json"}).ids == std::vector<std::string>{"1", "22"}));
  BOOST_TEST((good({"jobs", "wait", "1"}).what == command::jobs_watch));
  const auto watch = good({"jobs", "watch", "1", "22", "--timeout", "2.5"});
  BOOST_TEST((watch.ids == std::vector<std::string>{"1", "22"}));
  BOOST_TEST(*watch.wait_limit == 2.5);
  BOOST_TEST((good({"jobs", "get", "5", "6"}).ids == std::vector<std::string>{"5", "6"}));
  BOOST_TEST((good({"queues", "pause", "a", "b"}).ids == std::vector<std::string>{"a", "b"}));
  BOOST_TEST(!bad({"queues", "drain", "a", "b"}).empty());
}

BOOST_AUTO_TEST_CASE(help_and_version_are_no_errors) {
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"--help"}, {"dev", "--help"}, {"--version"}}) {
    auto parsed = parse(arguments);
    BOOST_REQUIRE(std::holds_alternative<refusal>(parsed));
    BOOST_TEST(static_cast<int>(std::get<refusal>(parsed).code) == 0);
    BOOST_TEST(says(std::get<refusal>(parsed).text, "troupe"));
  }
}

BOOST_AUTO_TEST_CASE(every_help_ends_with_every_exit_code) {
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"--help"}, {"jobs", "--help"}, {"dev", "--help"}}) {
    const auto parsed = parse(arguments);
    const auto& text = std::get<refusal>(parsed).text;
    for (const int code : {0, 1, 2, 3, 4, 5, 6, 7, 8, 130})
      BOOST_TEST(says(text, "\n  " + std::to_string(code) + " "), code);
    for (const auto& [code, meaning] : exit_meanings)
      BOOST_TEST(says(text, meaning));
  }
}

BOOST_AUTO_TEST_CASE(the_database_side_is_set_by_flags) {
  const auto found =
      good({"serve", "--database", "postgresql:///x", "--password-file", "/p", "--min-connections",
            "1", "--max-connections", "9", "--acquire-timeout", "250ms", "--statement-timeout=1.5",
            "--idle-limit", "2min", "--max-lifetime", "1h", "--max-waiting", "77", "--pooler"});
  BOOST_TEST(found.engine.database_url == "postgresql:///x");
  const auto& database = found.engine.database;
  BOOST_TEST(database.password_file == "/p");
  BOOST_TEST(database.min_connections == 1);
  BOOST_TEST(database.max_connections == 9);
  BOOST_TEST(database.acquire_timeout.count() == 250);
  BOOST_TEST(database.statement_timeout.count() == 1500);
  BOOST_TEST(database.idle_limit.count() == 120'000);
  BOOST_TEST(database.max_lifetime.count() == 3'600'000);
  BOOST_TEST(database.max_waiting == 77);
  BOOST_TEST(database.pooler);
  BOOST_TEST(good({"dev", "--connections", "6"}).engine.database.max_connections == 6);
  BOOST_TEST(says(bad({"dev", "--acquire-timeout", "soon"}), "--acquire-timeout"));
  BOOST_TEST(says(bad({"dev", "--max-connections", "x"}), "--max-connections"));
}

BOOST_AUTO_TEST_CASE(flags_win_over_variables_and_those_over_the_file) {
  const config_file file{
      "slots = 5\nallow_host = ['a', 'b']\nqueue = ['mail:2']\ntest_kinds = true\n"
      "[database]\nurl = 'postgresql:///f'\nmax_waiting = 11\npooler = true\n"
      "idle_limit = '90s'\nmin_connections = 1\nmax_connections = 7\n"};
  const set_variable path("TROUPE_CONFIG", file.path().c_str());
  const auto from_file = good({"serve"});
  BOOST_TEST(from_file.engine.slots == 5);
  BOOST_TEST((from_file.engine.allowed_hosts == std::set<std::string>{"a", "b"}));
  BOOST_TEST(from_file.engine.queues.at("mail") == 2);
  BOOST_TEST(from_file.engine.test_kinds);
  BOOST_TEST(from_file.engine.database_url == "postgresql:///f");
  BOOST_TEST(from_file.engine.database.max_waiting == 11);
  BOOST_TEST(from_file.engine.database.max_connections == 7);
  BOOST_TEST(from_file.engine.database.pooler);
  BOOST_TEST(from_file.engine.database.idle_limit.count() == 90'000);
  const set_variable waiting("TROUPE_MAX_WAITING", "22");
  const set_variable url("DATABASE_URL", "postgresql:///v");
  const auto mixed = good({"serve", "--slots", "6"});
  BOOST_TEST(mixed.engine.database.max_waiting == 22);
  BOOST_TEST(mixed.engine.database_url == "postgresql:///v");
  BOOST_TEST(mixed.engine.slots == 6);
  BOOST_TEST(mixed.engine.database.max_connections == 7);
  BOOST_TEST(good({"serve", "--max-waiting", "33"}).engine.database.max_waiting == 33);
}

BOOST_AUTO_TEST_CASE(each_setting_is_known_with_what_made_it_so) {
  const config_file file{"node = 'from-file'\nslots = 5\nallow_host = ['a', 'b']\n"
                         "[database]\nmax_waiting = 11\npooler = false\n"};
  const set_variable slots("TROUPE_SLOTS", "6");
  const set_variable kinds("TROUPE_TEST_KINDS", "true");
  const auto found = good({"config", "show", "--origin", "--config", file.path(), "--grace=2.5",
                           "--queue", "mail:8", "--idle-limit", "90s", "--insecure-listen"});
  BOOST_TEST((found.what == command::config_show));
  BOOST_TEST(found.show_origin);
  const auto check = [&](const std::string& name, const std::vector<std::string>& values,
                         setting_origin origin, const std::string& from) {
    for (const auto& each : found.settings)
      if (each.name == name) {
        BOOST_TEST(each.values == values, boost::test_tools::per_element());
        BOOST_TEST(name_of(each.origin) == name_of(origin), name);
        BOOST_TEST(each.from == from);
        return;
      }
    BOOST_ERROR("there is no setting " + name);
  };
  check("node", {"from-file"}, setting_origin::file, file.path() + ", line 1");
  check("slots", {"6"}, setting_origin::variable, "TROUPE_SLOTS");
  check("allow_host", {"a", "b"}, setting_origin::file, file.path() + ", line 3");
  check("database.max_waiting", {"11"}, setting_origin::file, file.path() + ", line 5");
  check("database.pooler", {"false"}, setting_origin::file, file.path() + ", line 6");
  check("grace", {"2.5"}, setting_origin::flag, "--grace");
  check("queue", {"mail:8"}, setting_origin::flag, "--queue");
  check("database.idle_limit", {"90s"}, setting_origin::flag, "--idle-limit");
  check("insecure_listen", {"true"}, setting_origin::flag, "--insecure-listen");
  check("config", {file.path()}, setting_origin::flag, "--config");
  check("test_kinds", {"true"}, setting_origin::variable, "TROUPE_TEST_KINDS");
  check("listen", {"127.0.0.1:8080"}, setting_origin::standard, "");
  check("log_level", {"info"}, setting_origin::standard, "");
  check("workers", {"0"}, setting_origin::standard, "");
  check("database.max_lifetime", {"1800s"}, setting_origin::standard, "");
  check("allow_private", {"false"}, setting_origin::standard, "");
  check("database.url", {""}, setting_origin::standard, "");
}

BOOST_AUTO_TEST_CASE(a_node_knows_its_settings_too) {
  const auto serving = good({"serve", "--database", "postgresql:///x", "--slots", "3"});
  const auto shown = good({"config", "show", "--database", "postgresql:///x", "--slots", "3"});
  BOOST_REQUIRE(serving.settings.size() == shown.settings.size());
  for (std::size_t i = 0; i < shown.settings.size(); ++i) {
    BOOST_TEST(serving.settings[i].name == shown.settings[i].name);
    BOOST_TEST(serving.settings[i].values == shown.settings[i].values);
    BOOST_TEST(serving.settings[i].from == shown.settings[i].from);
  }
}

BOOST_AUTO_TEST_CASE(the_settings_shown_are_those_that_serve_reads) {
  const auto named = [](const std::string& path) {
    auto all = describe_commands();
    std::vector<std::string> names;
    const command_entry* at = &all;
    for (const auto& word : path == "serve" ? std::vector<std::string>{"serve"}
                                            : std::vector<std::string>{"config", "show"})
      for (const auto& each : at->commands)
        if (each.name == word) {
          at = &each;
          break;
        }
    for (const auto& each : at->options)
      if (each.names.back() != "--origin" && each.names.back() != "--json" && !each.of_all)
        names.push_back(each.names.back() + " " + each.variable + " " + each.key + " "
                        + each.default_text);
    return names;
  };
  BOOST_TEST(named("serve") == named("config show"), boost::test_tools::per_element());
  const auto found = good({"config", "show"});
  BOOST_TEST(found.settings.size() + 1 == named("serve").size()); // --help sets nothing
  BOOST_TEST(says(bad({"config", "show", "--listen", "0.0.0.0:1"}), "--insecure-listen"));
  BOOST_TEST(says(bad({"config", "show", "--slots", "-1"}), "--slots"));
}

BOOST_AUTO_TEST_CASE(a_file_serves_every_command_that_has_some_of_its_keys) {
  const config_file file{"listen = '127.0.0.1:1'\n[database]\nurl = 'postgresql:///f'\n"};
  BOOST_TEST(good({"migrate", "--config", file.path()}).engine.database_url == "postgresql:///f");
  BOOST_TEST(good({"doctor", "--config", file.path()}).engine.database_url == "postgresql:///f");
  BOOST_TEST(good({"serve", "--config", file.path()}).engine.port == 1);
}

BOOST_AUTO_TEST_CASE(wrong_keys_and_values_of_a_file_are_told_with_place_and_key) {
  const auto refused = [](const std::string& text) {
    const config_file file{text};
    const auto why = bad({"dev", "--config", file.path()});
    BOOST_TEST(says(why, file.path() + ", line "), why);
    return why;
  };
  BOOST_TEST(says(refused("[database]\n\nmax_conections = 3\n"),
                  "line 3: there is no key database.max_conections; did you mean "
                  "database.max_connections?"));
  BOOST_TEST(says(refused("max_waiting = 3\n"), "did you mean database.max_waiting?"));
  BOOST_TEST(says(refused("xyzzy = 3\n"), "keys are allow_host, "));
  BOOST_TEST(says(refused("slots = 'many'\n"), "line 1: slots: "));
  BOOST_TEST(says(refused("slots = -1\n"), "slots: "));
  BOOST_TEST(says(refused("[database]\nmax_connections = [1, 2]\n"), "database.max_connections: "));
  BOOST_TEST(says(refused("[database]\nidle_limit = 'soon'\n"), "database.idle_limit: "));
  BOOST_TEST(says(refused("[database]\npooler = 'perhaps'\n"), "database.pooler: "));
  BOOST_TEST(says(refused("slots 3\n"), "slots has no value"));
  BOOST_TEST(says(bad({"dev", "--config", "/no/such.toml"}), "/no/such.toml cannot be read"));
}
