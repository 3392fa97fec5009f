// The normal form of URLs, and that the quick way of resolving links agrees with libcurl's.
#include "handlers/url.hpp"
#include "messages/crawl.hpp"

#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace troupe;

std::string text(const url_or_refusal& url) {
  const auto* normal = std::get_if<std::string>(&url);
  return normal != nullptr ? *normal : "refused: " + std::get<url_refusal>(url).reason;
}

std::string normal(std::string_view url) {
  return text(normalise_url(url));
}
std::string resolved(std::string_view base, std::string_view link) {
  return text(resolve_url(base, link));
}
bool refused(std::string_view url) {
  return normal(url).starts_with("refused: ");
}

/// What within_site has to answer, by the slow way alone.
std::string within_site_slowly(const std::string& page, const std::string& href) {
  const auto url = resolve_url(page, href);
  const auto* normal = std::get_if<std::string>(&url);
  return normal != nullptr && same_site(*normal, page) ? *normal : "";
}

/// Links as one meets them, and as one would rather not.
std::vector<std::string> nasty_hrefs() {
  // clang-format off
  std::istringstream words(
      "# #x ? ?x ?x? a a.html a.html#b a?b=c a? a?? / // //x //site.test/y /// /a/b /a//b a//b . .. "
      "./a ../a a/./b a/../b a/. a/.. a/.b .a ..a a. a.. a%20b a%2Fb a%zz % a:b a/b:c x: mailto:a@b "
      "javascript:void(0) tel:1 data:text/html,x http: http:a http:/a http:// http:///a "
      "http://site.test http://site.test/ http://site.test?x http://site.test#x "
      "http://site.test/a/b http://site.test/./a http://site.test/a?b http://site.test//a "
      "http://site.test:80/a http://site.test:8080/a HTTP://SITE.TEST/a http://SITE.test/ "
      "https://site.test/a https://site.test:443/ http://other.test/a http://site.test./ "
      "http://site.test.evil/ http://site/ http://u@site.test/a http://site.test@evil/ "
      "http://1.2.3.4/ http://127.1/ http://0x7f.1/ http://[::1]/a http://sitetest/ http://-/ "
      "http://.test/ http://site..test/ a\\b \\a \u00fc a?\u00fc=1 a;b,c&d=e+f a'b a\"b a<b> a|b a{b} "
      "a[b] a^b a`b a~b a@b a!b a$b a*b(c) a=b &a =a +a ,a ;a -a _a ~a 1 1:2 a/b/c/../../d a?b/../c "
      "a?b/./c a?b//c");
  // clang-format on
  std::vector<std::string> hrefs{"", "a b", " a", "a ", "\ta", "a\tb", "a\nb"};
  hrefs.insert(hrefs.end(), std::istream_iterator<std::string>(words), {});
  hrefs.push_back(std::string(3000, 'a'));
  hrefs.push_back("/" + std::string(2040, 'b'));
  return hrefs;
}

} // namespace

BOOST_AUTO_TEST_CASE(equal_pages_have_equal_urls) {
  BOOST_TEST(normal("HTTP://ExAmPlE.com") == "http://example.com/");
  BOOST_TEST(normal("http://example.com:80/a#part") == "http://example.com/a");
  BOOST_TEST(normal("https://example.com:443/") == "https://example.com/");
  BOOST_TEST(normal("https://example.com:80/") == "https://example.com:80/");
  BOOST_TEST(normal("http://example.com/a/./b/../c/") == "http://example.com/a/c/");
  BOOST_TEST(normal("http://example.com/../../x") == "http://example.com/x");
  BOOST_TEST(normal("http://example.com/a?b=c#d?e") == "http://example.com/a?b=c");
  BOOST_TEST(normal("http://example.com?") == "http://example.com/");
  BOOST_TEST(normal("http://example.com/ü x") == "http://example.com/%c3%bc%20x");
  BOOST_TEST(normal("http://2130706433/") == "http://127.0.0.1/");
  BOOST_TEST(normal("http://0x7f.1/") == "http://127.0.0.1/");
  BOOST_TEST(normal("http://[::1]:8080/") == "http://[::1]:8080/");
}

BOOST_AUTO_TEST_CASE(a_normal_url_stays_as_it_is) {
  for (const char* url : {"http://example.com/", "http://example.com/a%20b?c=%2F",
                          "https://example.com:8443/x//y/", "http://[::1]/", "http://a.b/c;d=e,f"})
    BOOST_TEST(normal(url) == url);
}

BOOST_AUTO_TEST_CASE(urls_that_must_not_be_crawled_are_refused) {
  for (const char* url : {"",
                          "example.com",
                          "//example.com/",
                          "/a",
                          "ftp://example.com/",
                          "file:///etc/passwd",
                          "gopher://example.com/",
                          "javascript:alert(1)",
                          "http:",
                          "http://",
                          "http:///etc",
                          "http:/x",
                          "http://user@example.com/",
                          "http://user:pw@example.com/",
                          "http://exa mple.com/",
                          "http://example.com:0x50/",
                          "http://example.com:99999/",
                          "http://example.com/\x01",
                          "http://example.com/a\nb",
                          "http://[::1/"})
    BOOST_TEST(refused(url), url);
  BOOST_TEST(refused("http://example.com/" + std::string(limits::url_bytes, 'a')));
  BOOST_TEST(refused(std::string_view("http://example.com/\0x", 21)));
  // Each of these bytes becomes three: the limit holds for the normal form.
  BOOST_TEST(refused("http://example.com/" + std::string(limits::url_bytes / 2, '\xC3')));
}

BOOST_AUTO_TEST_CASE(links_resolve_as_rfc_3986_shows) {
  const std::string base = "http://a/b/c/d;p?q";
  const std::vector<std::pair<std::string, std::string>> table = {
      {"g", "http://a/b/c/g"},        {"./g", "http://a/b/c/g"},
      {"g/", "http://a/b/c/g/"},      {"/g", "http://a/g"},
      {"//g", "http://g/"},           {"?y", "http://a/b/c/d;p?y"},
      {"g?y", "http://a/b/c/g?y"},    {"#s", "http://a/b/c/d;p?q"},
      {"g#s", "http://a/b/c/g"},      {"g?y#s", "http://a/b/c/g?y"},
      {";x", "http://a/b/c/;x"},      {"g;x", "http://a/b/c/g;x"},
      {"", "http://a/b/c/d;p?q"},     {".", "http://a/b/c/"},
      {"./", "http://a/b/c/"},        {"..", "http://a/b/"},
      {"../g", "http://a/b/g"},       {"../..", "http://a/"},
      {"../../../g", "http://a/g"},   {"/../g", "http://a/g"},
      {"g.", "http://a/b/c/g."},      {"..g", "http://a/b/c/..g"},
      {"./g/.", "http://a/b/c/g/"},   {"g;x=1/../y", "http://a/b/c/y"},
      {" \n g \t", "http://a/b/c/g"}, {"g\nh", "http://a/b/c/gh"},
      {"HTTPS://B/x", "https://b/x"}, {"g?y=/../x", "http://a/b/c/g?y=/../x"},
  };
  for (const auto& [link, expected] : table)
    BOOST_TEST(resolved(base, link) == expected, link << " gave " << resolved(base, link));
}

BOOST_AUTO_TEST_CASE(a_site_is_scheme_host_and_port) {
  BOOST_TEST(same_site("http://a/x", "http://a/y?z"));
  BOOST_TEST(!same_site("http://a/", "https://a/"));
  BOOST_TEST(!same_site("http://a/", "http://a:8080/"));
  BOOST_TEST(!same_site("http://a/", "http://aa/"));
  BOOST_TEST(!same_site("http://a.b/", "http://a/.b/"));
}

BOOST_AUTO_TEST_CASE(the_quick_way_of_resolving_links_agrees_with_the_slow_one) {
  const std::vector<std::string> pages = {
      "http://site.test/",           "http://site.test/dir/page.html",
      "http://site.test/dir/?q=a/b", "http://site.test/d//e/f",
      "http://site.test:8080/x",     "https://site.test/a/",
      "http://127.0.0.1:81/p",       "http://[::1]/a/b"};
  for (const auto& page : pages) {
    link_resolver quick(page);
    for (const auto& href : nasty_hrefs())
      BOOST_TEST(std::string(quick.within_site(href)) == within_site_slowly(page, href),
                 page << " and " << href);
  }
}

BOOST_AUTO_TEST_CASE(the_quick_way_agrees_over_a_whole_documentation) {
  const std::filesystem::path folder = "/usr/share/doc/postgresql-doc-15/html";
  if (!std::filesystem::exists(folder)) {
    BOOST_TEST_MESSAGE("postgresql-doc-15 is not installed");
    return;
  }
  std::size_t links = 0;
  std::size_t wrong = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".html")
      continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string body(std::istreambuf_iterator<char>(in), {});
    const auto page = "http://127.0.0.1:8080/" + entry.path().filename().string();
    link_resolver quick(page);
    for (auto at = body.find("href=\""); at != std::string::npos; at = body.find("href=\"", at)) {
      at += 6;
      const auto href = body.substr(at, body.find('"', at) - at);
      wrong += quick.within_site(href) == within_site_slowly(page, href) ? 0 : 1;
      ++links;
    }
  }
  BOOST_TEST(links > 20'000U);
  BOOST_TEST(wrong == 0U);
}

BOOST_AUTO_TEST_CASE(a_base_element_moves_relative_links_but_not_the_site) {
  link_resolver links("http://site.test/a/b.html");
  links.rebase("/c/");
  BOOST_TEST(links.within_site("d") == "http://site.test/c/d");
  links.rebase("http://other.test/x/");
  BOOST_TEST(links.within_site("d") == "");
  BOOST_TEST(links.within_site("http://site.test/e") == "http://site.test/e");
  links.rebase("javascript:0");
  BOOST_TEST(links.within_site("http://site.test/e") == "http://site.test/e");
}
