// The options of scrape; see command_line.hpp.
#include "cli/choice.hpp"
#include "cli/command_line.hpp"
#include "cli/settings.hpp"
#include "cli/text.hpp"

#include <stdexcept>

namespace troupe::cli {

void command_line::add_scrape() {
  auto& scrape = out_.scrape;
  auto* app = add(app_, command::scrape, "scrape",
                  "Crawl a site from a start page, within its host; an interrupted crawl goes on "
                  "when the same command runs again");
  app->add_option("url", scrape.url, "The start page")->required();
  app->add_option("--out", scrape.out, "Write one row per page to this .csv or .ndjson file")
      ->type_name("FILE");
  app->add_option("--max-pages", scrape.max_pages, "At most so many pages (10000)")
      ->check(CLI::Range(1, limits::crawl_pages));
  app->add_option("--max-depth", scrape.max_depth, "At most so many links from the start (100)")
      ->check(CLI::Range(0, limits::crawl_depth));
  list(app->add_option("--select", selectors_,
                       "NAME=XPATH, a further column of the rows (repeatable)"));
  app->add_option("--timeout", scrape.limit, "Seconds for the crawl; then it stops, exit 7")
      ->check(number_in(0.1, longest_seconds));
  add_engine(app);
  add_json(app);
}

void command_line::finish_scrape() {
  for (const auto& text : selectors_)
    out_.scrape.selectors.push_back(read_selector(text));
  if (const auto& out = out_.scrape.out;
      !out.empty() && !out.ends_with(".csv") && !out.ends_with(".ndjson"))
    throw std::invalid_argument("--out: '" + printable(out) + "' must end in .csv or .ndjson");
  out_.engine.node = "scrape";
  finish_engine();
}

} // namespace troupe::cli
