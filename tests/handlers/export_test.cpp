// Exported files, read back by a strict reader: every value as it was, whole files or none.
#include "handlers/export.hpp"
#include "tests/handlers/memory_port.hpp"
#include "tests/handlers/runs.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <sys/resource.h>

namespace {

using namespace troupe;
using namespace troupe::tests;
using verdict = job_result::verdict;
using row = std::vector<std::string>;
namespace fs = std::filesystem;

/// RFC 4180 and nothing else: CRLF after each record, quotes only around whole fields.
std::vector<row> read_csv(const std::string& text) {
  std::vector<row> rows;
  std::size_t at = 0;
  const auto expect = [&](char c) {
    if (at >= text.size() || text[at] != c)
      throw std::runtime_error("CSV: unexpected byte at " + std::to_string(at));
    ++at;
  };
  while (at < text.size()) {
    row& fields = rows.emplace_back();
    for (;;) {
      std::string field;
      if (at < text.size() && text[at] == '"') {
        for (++at;; ++at) {
          if (at >= text.size())
            throw std::runtime_error("CSV: open quote");
          if (text[at] == '"' && (++at >= text.size() || text[at] != '"'))
            break;
          field += text[at];
        }
      } else {
        while (at < text.size() && text[at] != ',' && text[at] != '\r') {
          if (text[at] == '"' || text[at] == '\n')
            throw std::runtime_error("CSV: bare quote or line feed");
          field += text[at++];
        }
      }
      fields.push_back(field);
      if (at < text.size() && text[at] == ',') {
        ++at;
        continue;
      }
      expect('\r');
      expect('\n');
      break;
    }
  }
  return rows;
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct exporter {
  exporter() {
    std::string name = (fs::temp_directory_path() / "troupe-export-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
      throw std::runtime_error("mkdtemp");
    folder = name;
    add_export(kinds, workers, port, export_options{folder / "exports"});
  }
  ~exporter() { fs::remove_all(folder); }
  exporter(const exporter&) = delete;
  exporter& operator=(const exporter&) = delete;

  job_result run(const std::string& args) {
    return one_run("export", args, 40).start(kinds).result();
  }
  std::string text(const char* extension) {
    return read_file(folder / "exports" / (std::string("40.") + extension));
  }
  std::size_t files() {
    const auto exports = folder / "exports";
    return fs::exists(exports) ? static_cast<std::size_t>(
               std::distance(fs::directory_iterator(exports), fs::directory_iterator()))
                               : 0;
  }

  fs::path folder;
  handler_table kinds;
  two_workers workers;
  memory_port port{[](job_id, const std::string&) {}};
};

crawl_spec crawled(std::vector<selector> selectors = {}) {
  crawl_spec spec;
  spec.url = "http://a/";
  spec.selectors = std::move(selectors);
  return spec;
}

item_record item(std::int64_t id, std::string title, std::string fields = "") {
  item_record i;
  i.page = job_id{id};
  i.url = "http://a/" + std::to_string(id);
  i.status = 200;
  i.title = std::move(title);
  i.headings = 3;
  i.links = 4;
  i.bytes = 5;
  i.fetched_at = timestamp(std::chrono::microseconds(1'795'424'105'000'001));
  i.fields = std::move(fields);
  return i;
}

} // namespace

BOOST_AUTO_TEST_CASE(items_come_back_from_csv_exactly) {
  exporter e;
  e.port.know(job_id{17}, crawled({{"h", "//h1"}, {"n,m", "count(//a)"}}));
  e.port.items_crawl = job_id{17};
  const std::vector<std::string> titles = {"",   "plain", "a,b",     "say \"hi\"",   "two\r\nlines",
                                           "\n", "=1+1",  " blank ", "\u00fc\u20ac", "\""};
  std::int64_t id = 0;
  for (const auto& title : titles)
    e.port.stored_items.push_back(item(++id, title, R"({"h":["x"],"n,m":2})"));
  e.port.stored_items[1].fields = R"({"h":["x","y,\"z\""],"n,m":null})";
  e.port.stored_items[2].fields = "";
  const auto r = e.run(R"({"what":"items","crawl":"17","format":"csv"})");
  BOOST_TEST((r.kind == verdict::completed), r.error);
  const auto text = e.text("csv");
  const auto rows = read_csv(text);
  BOOST_TEST_REQUIRE(rows.size() == titles.size() + 1);
  const row header{"url",   "status",     "title", "headings", "links",
                   "bytes", "fetched_at", "h",     "n,m"};
  BOOST_TEST(rows[0] == header, boost::test_tools::per_element());
  const row first{"http://a/1", "200", "", "3", "4", "5", "2026-11-23T08:55:05.000001Z", "x", "2"};
  BOOST_TEST(rows[1] == first, boost::test_tools::per_element());
  for (std::size_t i = 0; i < titles.size(); ++i)
    BOOST_TEST(rows[i + 1][2] == titles[i]);
  BOOST_TEST(rows[2][7] == R"(["x","y,\"z\""])");
  BOOST_TEST(rows[2][8] == "");
  BOOST_TEST(rows[3][7] == "");
  const auto result = nlohmann::json::parse(r.result);
  BOOST_TEST(result.at("rows") == titles.size());
  BOOST_TEST(result.at("bytes") == text.size());
  BOOST_TEST(result.at("path").get<std::string>() == (e.folder / "exports/40.csv").string());
}

BOOST_AUTO_TEST_CASE(items_come_back_from_ndjson_exactly_over_many_pages) {
  exporter e;
  e.port.know(job_id{17}, crawled());
  e.port.items_crawl = job_id{17};
  for (int i = 1; i <= 2500; ++i)
    e.port.stored_items.push_back(item(i, "t\"\\\n\x01 " + std::to_string(i)));
  e.port.stored_items[7].fields = R"({"h":["x"]})";
  e.port.stored_items[7].error = "HTTP 404";
  const auto r = e.run(R"({"what":"items","crawl":"17","format":"ndjson"})");
  BOOST_TEST((r.kind == verdict::completed), r.error);
  BOOST_TEST(e.port.item_pages == 3);
  const auto text = e.text("ndjson");
  std::size_t at = 0;
  for (int i = 1; i <= 2500; ++i) {
    const auto end = text.find('\n', at);
    BOOST_TEST_REQUIRE(end != std::string::npos);
    const auto line = nlohmann::json::parse(text.substr(at, end - at));
    BOOST_TEST_REQUIRE(line.at("title").get<std::string>() == "t\"\\\n\x01 " + std::to_string(i));
    BOOST_TEST_REQUIRE(line.at("page").get<std::string>() == std::to_string(i));
    BOOST_TEST_REQUIRE(line.at("error").is_null() == (i != 8));
    BOOST_TEST_REQUIRE(line.at("fields").is_object() == (i == 8));
    at = end + 1;
  }
  BOOST_TEST(at == text.size());
}

BOOST_AUTO_TEST_CASE(jobs_are_exported_by_filter_and_page_by_page) {
  exporter e;
  for (int i = 1; i <= 1200; ++i) {
    job_record job;
    job.id = job_id{i};
    job.kind = i % 2 == 0 ? "echo" : "noop";
    job.queue = "default";
    job.state = job_state::completed;
    job.args = R"({"a":"b,\"c\""})";
    job.tags = {"x", "y"};
    e.port.stored_jobs.push_back(job);
  }
  const auto r = e.run(R"({"what":"jobs","format":"csv","kind":"echo","state":"completed"})");
  BOOST_TEST((r.kind == verdict::completed), r.error);
  const auto rows = read_csv(e.text("csv"));
  BOOST_TEST_REQUIRE(rows.size() == 601U);
  BOOST_TEST(rows[1][0] == "1200");
  BOOST_TEST(rows[600][0] == "2");
  BOOST_TEST(rows[1][9] == R"(["x","y"])");
  BOOST_TEST(rows[1][10] == R"({"a":"b,\"c\""})");
  const auto lines = e.run(R"({"what":"jobs","format":"ndjson"})");
  BOOST_TEST((lines.kind == verdict::completed), lines.error);
  const auto text = e.text("ndjson");
  BOOST_TEST(std::count(text.begin(), text.end(), '\n') == 1200);
}

BOOST_AUTO_TEST_CASE(a_stop_between_pages_ends_the_export_without_a_file) {
  one_run run("export", R"({"what":"items","crawl":"17"})", 40); // outlives the port
  exporter e;
  e.port.know(job_id{17}, crawled());
  e.port.items_crawl = job_id{17};
  for (int i = 1; i <= 3000; ++i)
    e.port.stored_items.push_back(item(i, "t"));
  e.port.on_item_page = [&] { run.stop(); };
  const auto r = run.start(e.kinds).result();
  BOOST_TEST((r.kind == verdict::failed));
  BOOST_TEST(r.error == "stopped after 0 rows");
  BOOST_TEST(e.files() == 0U);
}

BOOST_AUTO_TEST_CASE(failures_leave_no_file_and_say_why) {
  exporter e;
  const auto gone = e.run(R"({"what":"items","crawl":"99"})");
  BOOST_TEST((gone.kind == verdict::failed));
  BOOST_TEST(gone.error == "not_found: no such crawl");
  BOOST_TEST(e.files() == 0U);
  std::ofstream(e.folder / "exports").close();
  fs::remove_all(e.folder / "exports");
  std::ofstream(e.folder / "exports") << "a file where the folder should be";
  BOOST_TEST((e.run(R"({"what":"jobs"})").kind == verdict::failed));
}

BOOST_AUTO_TEST_CASE(a_write_that_fails_leaves_no_file_and_says_why) {
  exporter e;
  e.port.know(job_id{17}, crawled());
  e.port.items_crawl = job_id{17};
  for (int i = 1; i <= 3000; ++i)
    e.port.stored_items.push_back(item(i, std::string(100, 't')));
  // A full disk needs a mount; a limit on file sizes fails the same call.
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{100'000, before.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  const auto r = e.run(R"({"what":"items","crawl":"17"})");
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_DFL);
  BOOST_TEST((r.kind == verdict::failed));
  BOOST_TEST(r.error.starts_with("cannot write "), r.error);
  BOOST_TEST(r.error.find("File too large") != std::string::npos, r.error);
  BOOST_TEST(e.files() == 0U);
}

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_made_is_a_failed_attempt_with_its_path) {
  exporter e;
  fs::create_directories(e.folder / "exports/40.csv.part");
  const auto taken = e.run(R"({"what":"jobs"})");
  BOOST_TEST((taken.kind == verdict::failed));
  BOOST_TEST(taken.error.find("40.csv.part") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(wrong_export_args_are_discarded) {
  exporter e;
  for (const auto* args :
       {"{}", R"({"what":"x"})", R"({"what":"items"})", R"({"what":"items","crawl":17})",
        R"({"what":"items","crawl":"17","format":"xml"})",
        R"({"what":"items","crawl":"17","state":"completed"})", R"({"what":"jobs","crawl":"17"})",
        R"({"what":"jobs","state":"done"})", R"({"what":"jobs","queue":"a b"})"})
    BOOST_TEST((e.run(args).kind == verdict::discarded), args);
}

BOOST_AUTO_TEST_CASE(times_are_written_in_utc_with_microseconds) {
  BOOST_TEST(rfc3339(timestamp{}) == "1970-01-01T00:00:00.000000Z");
  BOOST_TEST(rfc3339(timestamp(std::chrono::microseconds(-1))) == "1969-12-31T23:59:59.999999Z");
  BOOST_TEST(rfc3339(timestamp(std::chrono::seconds(951'782'400)))
             == "2000-02-29T00:00:00.000000Z");
}
