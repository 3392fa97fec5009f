// What one HTML page says: title, headings, links and the crawl's selectors. libxml2's HTML parser
// reads it once; without selectors no tree is built. Called by `scrape.page` on worker threads; any
// number of threads at once. Bad pages are read as far as they go, within the limits below.
#pragma once

#include "messages/crawl.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace troupe {

namespace limits {
constexpr int page_depth = 512; ///< nested elements; browsers stop building there, too
constexpr int page_elements = 500'000;
constexpr int page_faults = 100'000;             ///< libxml2's complaints before a page is given up
constexpr std::size_t selector_matches = 100;    ///< nodes of one selector on one page
constexpr std::size_t match_bytes = 16 * 1024;   ///< text of one match; longer ones are cut
constexpr std::size_t fields_bytes = 512 * 1024; ///< all selectors of one page
constexpr unsigned long selector_steps =
    5'000'000; ///< XPath operations of one selector on one page
} // namespace limits

/// Selectors compiled for one thread: evaluating an expression is not safe from two.
class compiled_selectors {
public:
  compiled_selectors(compiled_selectors&&) noexcept;
  compiled_selectors& operator=(compiled_selectors&&) noexcept;
  ~compiled_selectors();

  /// The compiled form, or which selector is wrong and why.
  static std::variant<compiled_selectors, std::string> compile(const std::vector<selector>& list);

  bool empty() const;
  struct expressions;
  const expressions& get() const { return *expressions_; }

private:
  compiled_selectors();
  std::unique_ptr<expressions> expressions_;
};

/// `url` is in normal form (handlers/url.hpp); links are relative to it.
struct page_source {
  std::string_view body;
  std::string_view content_type;
  std::string_view url;
};

struct page_facts {
  std::string title;
  int headings = 0;
  int links = 0;
  std::string fields;                  ///< JSON object, empty without selectors
  std::vector<std::string> discovered; ///< same site, normal form, each once, the page itself not
  std::string error;                   ///< why the page was given up; the rest is then partial
};

/// Throws nothing but std::bad_alloc.
page_facts parse_page(const page_source& page, const compiled_selectors* selectors = nullptr);

} // namespace troupe
