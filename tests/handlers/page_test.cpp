// What is read from HTML pages: small nasty ones, and a whole documentation against a plain scan.
#include "handlers/page.hpp"
#include "handlers/page_arena.hpp"
#include "handlers/text.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

namespace {

using namespace troupe;

const std::string here = "http://site.test/dir/page.html";
const std::string folder = "/usr/share/doc/postgresql-doc-15/html";

page_facts facts_of(std::string_view body, std::string_view type = "text/html",
                    const compiled_selectors* selectors = nullptr) {
  return parse_page({body, type, here}, selectors);
}

std::string title_of(std::string_view body, std::string_view type = "text/html") {
  return facts_of(body, type).title;
}

compiled_selectors selectors(const std::vector<selector>& list) {
  auto compiled = compiled_selectors::compile(list);
  BOOST_TEST_REQUIRE(std::holds_alternative<compiled_selectors>(compiled));
  return std::get<compiled_selectors>(std::move(compiled));
}

std::string fields_of(std::string_view body, const std::vector<selector>& list) {
  const auto compiled = selectors(list);
  return facts_of(body, "text/html", &compiled).fields;
}

std::string repeat(std::string_view piece, int times) {
  std::string text;
  for (int i = 0; i < times; ++i)
    text += piece;
  return text;
}

struct plain_scan {
  int headings = 0;
  int links = 0;
  std::string title;
};

/// Counts tags as one would with grep: right for well-formed pages without scripts.
plain_scan scan(const std::string& body) {
  plain_scan s;
  for (auto at = body.find('<'); at != std::string::npos; at = body.find('<', at + 1)) {
    const auto tag = std::string_view(body).substr(at, body.find('>', at) - at);
    if (tag.size() > 2 && tag[1] == 'h' && tag[2] >= '1' && tag[2] <= '6')
      ++s.headings;
    else if (tag.starts_with("<a ") && tag.find(" href=") != std::string_view::npos)
      ++s.links;
    else if (tag == "<title")
      s.title = body.substr(at + 7, body.find("</title>", at) - at - 7);
  }
  return s;
}

} // namespace

BOOST_AUTO_TEST_CASE(title_headings_and_links_are_gathered) {
  const auto f = facts_of("<html><head><title>A &amp; B</title></head><body><h1>x</h1><h6>y</h6>"
                          "<h7>no</h7><a href=a>1</a><A HREF='b#x'>2</A><a name=n>3</a>"
                          "<a href='mailto:x@y'>4</a><a href='http://other.test/'>5</a>"
                          "<a href='#top'>6</a><a href=a>7</a></body></html>");
  BOOST_TEST(f.error == "");
  BOOST_TEST(f.title == "A & B");
  BOOST_TEST(f.headings == 2);
  BOOST_TEST(f.links == 6);
  const std::vector<std::string> expected{"http://site.test/dir/a", "http://site.test/dir/b"};
  BOOST_TEST(f.discovered == expected, boost::test_tools::per_element());
  BOOST_TEST(f.fields == "");
}

BOOST_AUTO_TEST_CASE(a_title_is_one_line_of_clean_utf8_within_its_limit) {
  BOOST_TEST(title_of("<title>\n  a \t b\r\n c </title>") == "a b c");
  BOOST_TEST(title_of("<title></title><title>second</title>") == "second");
  BOOST_TEST(title_of("<title>first</title><title>second</title>") == "first");
  BOOST_TEST(title_of("<svg><title>tooltip</title></svg><p>x") == "");
  const auto cut =
      title_of("<title>" + repeat("\u00fc", 2000) + "</title>", "text/html;charset=utf-8");
  BOOST_TEST(cut.size() == limits::title_bytes);
  BOOST_TEST(is_clean_utf8(cut));
  const auto odd =
      title_of("<title>x" + repeat("\u00fc", 2000) + "</title>", "text/html;charset=utf-8");
  BOOST_TEST(odd.size() == limits::title_bytes - 1);
  BOOST_TEST(is_clean_utf8(odd));
  BOOST_TEST(title_of(std::string_view("<title>a\0b&#0;c</title>", 23)).find('\0')
             == std::string::npos);
}

BOOST_AUTO_TEST_CASE(pages_are_read_in_their_charset) {
  BOOST_TEST(title_of("<title>\xFC</title>") == "\u00fc");
  BOOST_TEST(title_of("<title>\xFC</title>", "text/html; charset=ISO-8859-1") == "\u00fc");
  BOOST_TEST(title_of("<title>\x80</title>", "text/html; charset=latin1") == "\u20ac");
  BOOST_TEST(title_of("<title>\xE4\xF6</title>", "text/html; charset=koi8-r") == "\u0414\u0416");
  BOOST_TEST(title_of("<meta charset=\"windows-1251\"><title>\xC0</title>") == "\u0410");
  BOOST_TEST(title_of("<title>\u00fc</title>") == "\u00fc");
  BOOST_TEST(title_of("\xEF\xBB\xBF<title>\u00fc</title>", "text/html; charset=latin1")
             == "\u00fc");
  BOOST_TEST(title_of(std::string_view("\xFF\xFE<\0t\0i\0t\0l\0e\0>\0x\0", 18)) == "x");
  BOOST_TEST(title_of("<title>\xFC</title>", "text/html; charset=utf-8") == "\uFFFD");
  BOOST_TEST(title_of("<title>\xED\xA0\x80</title>", "text/html; charset=utf-8")
             == "\uFFFD\uFFFD\uFFFD");
  BOOST_TEST(title_of("<title>x</title>", "text/html; charset=no-such-charset") == "x");
}

BOOST_AUTO_TEST_CASE(broken_pages_are_read_as_far_as_they_go) {
  for (const auto* page :
       {"", " ", "<", "<!", "<!--", "<a", "<a href", "<a href=", "<a href=\"", "</", "<title>", "&",
        "&#", "&#x", "<![CDATA[", "<?xml", "\xFF", "plain"})
    BOOST_TEST(facts_of(page).error == "", page);
  BOOST_TEST(facts_of("<title>open").title == "open");
  BOOST_TEST(facts_of("<h1><h2><h3>").headings == 3);
  BOOST_TEST(facts_of("<script>'<a href=x><h1>'</script><!-- <a href=x> -->").links == 0);
}

BOOST_AUTO_TEST_CASE(a_page_never_reads_a_file_or_expands_an_entity_bomb) {
  const auto* xxe = "<!DOCTYPE html [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><title>&x;</title>";
  BOOST_TEST(title_of(xxe).find("root") == std::string::npos);
  const auto compiled = selectors({{"t", "string(//title)"}});
  BOOST_TEST(facts_of(xxe, "text/html", &compiled).fields.find("root") == std::string::npos);
  const auto* bomb = "<!DOCTYPE html [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">"
                     "<!ENTITY c \"&b;&b;&b;&b;\">]><title>&c;</title>";
  BOOST_TEST(title_of(bomb).size() < 100U);
}

BOOST_AUTO_TEST_CASE(a_million_nested_elements_are_given_up_with_a_reason) {
  const auto deep = repeat("<div>", 1'000'000);
  const auto compiled = selectors({{"all", "count(//*)"}});
  BOOST_TEST(facts_of(deep).error.find("nested deeper") != std::string::npos);
  const auto with_tree = facts_of(deep, "text/html", &compiled);
  BOOST_TEST(with_tree.error.find("nested deeper") != std::string::npos, with_tree.error);
  BOOST_TEST(facts_of(repeat("<div>", 400) + "<a href=x>").links == 1);
}

BOOST_AUTO_TEST_CASE(too_many_elements_or_faults_are_given_up_with_a_reason) {
  BOOST_TEST(facts_of(repeat("<br>", limits::page_elements + 1)).error.find("elements")
             != std::string::npos);
  BOOST_TEST(facts_of(repeat("</x>", limits::page_faults + 10)).error.find("faults")
             != std::string::npos);
}

BOOST_AUTO_TEST_CASE(links_beyond_the_limit_are_counted_but_not_followed) {
  std::string page;
  for (std::size_t i = 0; i < limits::links_per_page + 10; ++i)
    page += "<a href=p" + std::to_string(i) + ">x</a>";
  const auto f = facts_of(page);
  BOOST_TEST(f.links == static_cast<int>(limits::links_per_page) + 10);
  BOOST_TEST(f.discovered.size() == limits::links_per_page);
  auto unique = f.discovered;
  std::sort(unique.begin(), unique.end());
  BOOST_TEST((std::unique(unique.begin(), unique.end()) == unique.end()));
}

BOOST_AUTO_TEST_CASE(the_first_base_element_counts) {
  const auto f = facts_of("<base href='/other/'><base href='/late/'><a href=x>");
  BOOST_TEST_REQUIRE(f.discovered.size() == 1U);
  BOOST_TEST(f.discovered[0] == "http://site.test/other/x");
}

BOOST_AUTO_TEST_CASE(selectors_give_json_by_the_kind_of_their_value) {
  const auto* page = "<h1>a \"b\" \\ \u00fc</h1><h1>c</h1><p class=x>5</p>";
  BOOST_TEST(fields_of(page, {{"h", "//h1"}}) == "{\"h\":[\"a \\\"b\\\" \\\\ \u00fc\",\"c\"]}");
  BOOST_TEST(fields_of(page, {{"class", "//p/@class"}, {"none", "//h2"}})
             == R"({"class":["x"],"none":[]})");
  BOOST_TEST(fields_of(page, {{"n", "count(//h1)"}, {"nan", "number('x')"}, {"half", "1 div 2"}})
             == R"({"n":2,"nan":null,"half":0.5})");
  BOOST_TEST(fields_of(page, {{"s", "string(//p)"}, {"b", "//p = 5"}}) == R"({"s":"5","b":true})");
}

BOOST_AUTO_TEST_CASE(selector_results_are_bounded) {
  const auto many = fields_of(repeat("<i>x</i>", 500), {{"i", "//i"}});
  BOOST_TEST(std::count(many.begin(), many.end(), 'x') == 100);
  const auto big = fields_of("<p>" + repeat("y", 100'000) + "</p>", {{"p", "//p"}});
  BOOST_TEST(big.size() < limits::match_bytes + 20);
  const auto compiled = selectors({{"slow", "count(//*[count(//*[count(//*) > 0]) > 0])"}});
  const auto slow = facts_of(repeat("<b></b>", 3000), "text/html", &compiled);
  BOOST_TEST(slow.fields == R"({"slow":null})");
  BOOST_TEST(slow.error.find("slow") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(wrong_xpath_is_named_when_it_is_compiled) {
  for (const auto* xpath : {"//h1[", "", "foo(", "//@", "a b"}) {
    const auto compiled = compiled_selectors::compile({{"ok", "//a"}, {"bad", xpath}});
    BOOST_TEST_REQUIRE(std::holds_alternative<std::string>(compiled), xpath);
    BOOST_TEST(std::get<std::string>(compiled).find("\"bad\"") != std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(a_documentation_gives_the_counts_of_a_plain_scan_with_and_without_a_tree) {
  if (!std::filesystem::exists(folder)) {
    BOOST_TEST_MESSAGE("postgresql-doc-15 is not installed");
    return;
  }
  const auto compiled = selectors({{"n", "count(//a/@href)"}});
  int pages = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".html")
      continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string body(std::istreambuf_iterator<char>(in), {});
    const auto quick = facts_of(body, "text/html; charset=UTF-8");
    const auto tree = facts_of(body, "text/html; charset=UTF-8", &compiled);
    const auto plain = scan(body);
    BOOST_TEST(quick.error == "");
    BOOST_TEST(quick.headings == plain.headings, entry.path());
    BOOST_TEST(quick.links == plain.links, entry.path());
    BOOST_TEST(tree.fields == "{\"n\":" + std::to_string(plain.links) + "}", entry.path());
    BOOST_TEST(tree.headings == quick.headings);
    BOOST_TEST(tree.title == quick.title);
    BOOST_TEST((tree.discovered == quick.discovered));
    if (plain.title.find_first_of("&\n\xC2") == std::string::npos)
      BOOST_TEST(quick.title == plain.title);
    ++pages;
  }
  BOOST_TEST(pages > 1000);
}

BOOST_AUTO_TEST_CASE(threads_parse_side_by_side_with_and_without_the_arena) {
  const auto page = repeat("<p class=a>text <a href=x>y</a></p>", 2000);
  for (const bool arena : {true, false}) {
    page_arena::enable(arena);
    std::vector<std::thread> threads;
    std::atomic<int> right{0};
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        const auto compiled = compiled_selectors::compile({{"n", "count(//p)"}});
        for (int i = 0; i < 20; ++i) {
          const auto f = facts_of(page, "text/html", i % 2 == 0 ? nullptr : &std::get<0>(compiled));
          right += f.links == 2000 && (i % 2 == 0 || f.fields == R"({"n":2000})") ? 1 : 0;
        }
      });
    for (auto& t : threads)
      t.join();
    BOOST_TEST(right == 80);
  }
  page_arena::enable(true);
}
