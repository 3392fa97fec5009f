// Runs of `troupe.export`: which chunks they store, what they count, and how they end.
#include "handlers/stored_export.hpp"
#include "tests/handlers/runs.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <map>
#include <random>

using namespace troupe;
using namespace troupe::tests;
using verdict = job_result::verdict;

namespace {

/// Gives these pieces, then the end, or a failure, or nothing any more.
struct pieces final : text_source {
  enum class ending : std::uint8_t { whole, failure, silence };
  pieces(std::vector<std::string> what, ending how) : texts(std::move(what)), end(how) {}
  void next(std::function<void(piece)> reply) override {
    if (at < texts.size())
      return reply(std::optional{texts[at++]});
    if (end == ending::whole)
      reply(std::optional<std::string>{});
    else if (end == ending::failure)
      reply(failure{errc::database, "the COPY ended"});
    else
      waits = std::move(reply);
  }
  std::vector<std::string> texts;
  ending end;
  std::size_t at = 0;
  std::function<void(piece)> waits; ///< dropped with the source
};

struct texts final : export_port {
  std::unique_ptr<text_source> jobs(const export_jobs& what) override {
    asked = what;
    return std::make_unique<pieces>(give, how);
  }
  std::vector<std::string> give;
  pieces::ending how = pieces::ending::whole;
  std::optional<export_jobs> asked;
};

/// What a run stores, in memory.
struct files final : stored_export_port {
  void begin(job_id, int, on_result<std::optional<export_order>> reply) override {
    reply(std::move(order));
  }
  void put(job_id, int attempt, int nth, std::string bytes, on_result<chunk_fate> reply) override {
    if (nth == fails_at)
      return reply(fate);
    stored[{attempt, nth}] = std::move(bytes);
    reply(chunk_fate::kept);
  }
  void keep(job_run_ptr, stored_file file, on_result<bool> reply) override {
    kept = std::move(file);
    reply(true);
  }
  std::string text(int attempt = 1) const {
    std::string all;
    for (const auto& [place, bytes] : stored)
      if (place.first == attempt)
        all += bytes;
    return all;
  }
  // No run asks for these.
  void start(export_order, std::string, on_result<started_export> reply) override {
    reply(failure{errc::internal, "not asked"});
  }
  void list(list_exports, on_result<export_page> reply) override {
    reply(failure{errc::internal, "not asked"});
  }
  void find(job_id, on_result<export_record> reply) override {
    reply(failure{errc::internal, "not asked"});
  }
  std::unique_ptr<text_source> read(job_id, const stored_file&, std::int64_t,
                                    std::int64_t) override {
    return nullptr;
  }

  result_or<std::optional<export_order>> order{std::optional<export_order>{export_order{}}};
  std::map<std::pair<int, int>, std::string> stored;
  std::optional<stored_file> kept;
  int fails_at = -1;
  result_or<chunk_fate> fate{chunk_fate::late};
};

struct exporting {
  texts from;
  files to;
  handler_table kinds;
  exporting() {
    add_stored_export(kinds, {from, to, [](std::unique_ptr<text_source> plain) {
                                return std::make_unique<doubled>(std::move(plain));
                              }});
  }
  /// In place of a compression: each piece twice.
  struct doubled final : text_source {
    explicit doubled(std::unique_ptr<text_source> p) : plain(std::move(p)) {}
    void next(std::function<void(piece)> reply) override {
      plain->next([reply = std::move(reply)](piece told) {
        if (auto* text = std::get_if<std::optional<std::string>>(&told); text != nullptr && *text)
          **text += **text;
        reply(std::move(told));
      });
    }
    std::unique_ptr<text_source> plain;
  };
  job_result run() { return one_run{export_kind, "{}"}.start(kinds).result(); }
  void order(export_format format, bool gzip = false) {
    to.order = std::optional{export_order{{{}, format, {}}, gzip}};
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(stored_exports, exporting)

BOOST_AUTO_TEST_CASE(a_text_is_stored_in_whole_chunks_whatever_its_pieces_are) {
  std::mt19937 random{7};
  std::string all;
  for (int i = 0; i < 40; ++i) {
    from.give.push_back(std::string(random() % 60'000, static_cast<char>('a' + random() % 26))
                        + "\n");
    all += from.give.back();
  }
  from.give.push_back(std::string(3 * limits::export_chunk, 'x') + "\n"); // one job
  from.give.push_back("");
  all += from.give[40];
  const auto result = run();
  BOOST_TEST((result.kind == verdict::completed));
  BOOST_TEST((to.text() == all));
  for (const auto& [place, bytes] : to.stored) {
    const bool last = place.second + 1 == static_cast<int>(to.stored.size());
    BOOST_TEST((last ? bytes.size() <= limits::export_chunk && !bytes.empty()
                     : bytes.size() == limits::export_chunk));
  }
  BOOST_REQUIRE(to.kept.has_value());
  BOOST_TEST(to.kept->bytes == static_cast<std::int64_t>(all.size()));
  BOOST_TEST(to.kept->rows == 41);
  BOOST_TEST(result.result.find("\"rows\":41") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_sum_is_that_of_the_bytes_that_are_stored) {
  from.give = {"a", "bc"};
  BOOST_TEST((run().kind == verdict::completed));
  BOOST_TEST(to.kept->sha256
             == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); // of abc
  from.give = {};
  BOOST_TEST((run().kind == verdict::completed));
  BOOST_TEST(to.kept->sha256
             == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"); // of nothing
  BOOST_TEST(to.kept->bytes == 0);
}

BOOST_AUTO_TEST_CASE(rows_are_counted_in_each_format_before_compression) {
  from.give = {"{}\n", "{}\n{}\n"};
  order(export_format::ndjson, true);
  BOOST_TEST((run().kind == verdict::completed));
  BOOST_TEST(to.kept->rows == 3);
  BOOST_TEST(to.text() == "{}\n{}\n{}\n{}\n{}\n{}\n");
  from.give = {"[{}\n,{", "}\n", "]\n"};
  order(export_format::json);
  run();
  BOOST_TEST(to.kept->rows == 2);
  from.give = {"[]\n"};
  run();
  BOOST_TEST(to.kept->rows == 0);
  from.give = {"id,key\n1,\"a\nb", "\"\n",
               "2,\"\"\"\n\"\n"}; // quotes over pieces, and quoted quotes
  order(export_format::csv);
  run();
  BOOST_TEST((from.asked->format == export_format::csv));
  BOOST_TEST(to.kept->rows == 2);
}

BOOST_AUTO_TEST_CASE(what_may_go_better_is_tried_again_and_what_may_not_is_not) {
  from.give = {std::string(3 * limits::export_chunk, 'x')};
  to.fails_at = 1;
  const auto with = [&](result_or<chunk_fate> fate) {
    to.fate = std::move(fate);
    return run().kind;
  };
  BOOST_TEST((with(chunk_fate::late) == verdict::failed));
  BOOST_TEST((with(chunk_fate::file_too_long) == verdict::discarded));
  BOOST_TEST((with(chunk_fate::no_room) == verdict::discarded));
  BOOST_TEST((with(failure{errc::unavailable, "away"}) == verdict::failed));
  BOOST_TEST(!to.kept);
  to.fails_at = -1;
  from.how = pieces::ending::failure;
  BOOST_TEST((run().kind == verdict::failed));
  BOOST_TEST(!to.kept);
  from.how = pieces::ending::whole;
  to.order = std::optional<export_order>{};
  BOOST_TEST((run().kind == verdict::discarded));
  to.order = failure{errc::unavailable, "away"};
  BOOST_TEST((run().kind == verdict::failed));
  BOOST_TEST(!to.kept);
}

BOOST_AUTO_TEST_CASE(a_run_that_waits_for_its_text_ends_when_it_is_asked_to) {
  from.give = {"{}\n"};
  from.how = pieces::ending::silence;
  one_run run{export_kind, "{}"};
  run.start(kinds);
  run.stop();
  BOOST_TEST((run.result().kind == verdict::failed));
  BOOST_TEST(!to.kept);
}

BOOST_AUTO_TEST_SUITE_END()
