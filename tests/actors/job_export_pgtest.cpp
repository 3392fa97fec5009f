// Exports over a real database: whole texts, one snapshot, and readers that go early or stay away.
#include "actors/job_export.hpp"
#include "tests/actors/whole_cast.hpp"

#include <boost/test/unit_test.hpp>
#include <caf/all.hpp>

#include <future>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct exporting : whole_cast { // of whose two connections one is lent
  std::unique_ptr<export_port> port = make_export_port(sys, *all.work);

  void put(int count) const {
    database.exec("select troupe.enqueue_many(array_fill('noop'::text, array["
                  + std::to_string(count) + "]), array_fill('default'::text, array["
                  + std::to_string(count)
                  + "]), array_fill(jsonb_build_object('x', repeat('y', "
                    "1000)), array["
                  + std::to_string(count) + "]), array_fill(0::smallint, array["
                  + std::to_string(count) + "]))");
  }
  static text_source::piece next(text_source& from) {
    auto promised = std::make_shared<std::promise<text_source::piece>>();
    auto answer = promised->get_future();
    from.next([promised](text_source::piece told) { promised->set_value(std::move(told)); });
    BOOST_REQUIRE((answer.wait_for(patience) == std::future_status::ready));
    return answer.get();
  }
  static std::string text(text_source& from) {
    std::string all;
    for (;;) {
      auto told = next(from);
      if (const auto* why = std::get_if<failure>(&told))
        BOOST_FAIL(why->detail);
      auto& bytes = std::get<std::optional<std::string>>(told);
      if (!bytes)
        return all;
      all += *bytes;
    }
  }
  std::string text(export_format format) {
    const auto source = port->jobs({.format = format});
    return text(*source);
  }
  std::string copies() const {
    return database.value(
        "select count(*) from pg_stat_activity where datname = current_database() "
        "and query like 'copy (%' and state <> 'idle'");
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(exports, exporting)

BOOST_AUTO_TEST_CASE(a_text_is_whole_in_each_format_with_jobs_and_without) {
  BOOST_TEST(text(export_format::ndjson) == "");
  BOOST_TEST(text(export_format::json) == "[]\n");
  BOOST_TEST(text(export_format::csv).starts_with("id,queue,"));
  put(1000);
  const auto lines = text(export_format::ndjson);
  BOOST_TEST(std::count(lines.begin(), lines.end(), '\n') == 1000);
  const auto csv = text(export_format::csv);
  BOOST_TEST(std::count(csv.begin(), csv.end(), '\n') == 1001);
  auto array = text(export_format::json);
  BOOST_TEST(array.starts_with("[{"));
  BOOST_TEST(array.ends_with("}\n]\n"));
  // The same objects.
  std::string same = array.substr(1, array.size() - 3);
  for (std::size_t at = 0; (at = same.find("\n,{", at)) != std::string::npos;)
    same.erase(at + 1, 1);
  BOOST_TEST((same == lines));
}

BOOST_AUTO_TEST_CASE(what_is_put_in_after_the_first_piece_is_not_in_it) {
  put(2000);
  const auto source = port->jobs({});
  auto first = std::get<std::optional<std::string>>(next(*source)).value();
  BOOST_TEST(first.size() < 80U * 1024);
  put(10);
  const auto lines = first + text(*source);
  BOOST_TEST(std::count(lines.begin(), lines.end(), '\n') == 2000);
}

BOOST_AUTO_TEST_CASE(a_reader_who_goes_early_ends_the_copy_and_the_next_export_has_its_connection) {
  put(30'000);
  for (int round = 0; round < 3; ++round) {
    const auto source = port->jobs({});
    BOOST_REQUIRE(std::holds_alternative<std::optional<std::string>>(next(*source)));
    BOOST_TEST(copies() == "1");
  }
  BOOST_TEST(await_until([&] { return copies() == "0"; }));
  const auto lines = text(export_format::ndjson);
  BOOST_TEST(std::count(lines.begin(), lines.end(), '\n') == 30'000);
}

BOOST_AUTO_TEST_CASE(a_server_that_ends_the_copy_is_a_failure_and_no_end) {
  put(30'000);
  const auto source = port->jobs({});
  BOOST_REQUIRE(std::holds_alternative<std::optional<std::string>>(next(*source)));
  database.exec("select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and query like 'copy (%'");
  for (;;) {
    const auto told = next(*source);
    if (std::holds_alternative<failure>(told))
      break;
    BOOST_REQUIRE(std::get<std::optional<std::string>>(told).has_value());
  }
}

BOOST_AUTO_TEST_CASE(a_question_that_the_engines_end_meets_is_answered) {
  put(30'000);
  auto source = port->jobs({});
  next(*source);
  caf::anon_send_exit(all.root, caf::exit_reason::user_shutdown);
  for (;;) {
    const auto told = next(*source);
    if (std::holds_alternative<failure>(told))
      break;
    if (!std::get<std::optional<std::string>>(told)) // read before the end has come
      source = port->jobs({});
  }
}

BOOST_AUTO_TEST_SUITE_END()
