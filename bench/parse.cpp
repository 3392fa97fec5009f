// How fast one core reads HTML: parse_page over a folder of pages, with and without the arena, with
// and without selectors. Usage: troupe_bench_parse [FOLDER [RUNS]]; prints medians of the runs.
#include "handlers/page.hpp"
#include "handlers/page_arena.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

using namespace troupe;

struct sample {
  std::string url;
  std::string body;
};

std::vector<sample> read_pages(const std::filesystem::path& folder) {
  std::vector<sample> pages;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".html")
      continue;
    std::ifstream in(entry.path(), std::ios::binary);
    pages.push_back({"http://127.0.0.1:8080/" + entry.path().filename().string(),
                     std::string(std::istreambuf_iterator<char>(in), {})});
  }
  std::sort(pages.begin(), pages.end(),
            [](const sample& a, const sample& b) { return a.url < b.url; });
  return pages;
}

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

struct totals {
  long links = 0;
  long headings = 0;
  std::size_t discovered = 0;
};

double pages_per_second(const std::vector<sample>& pages, const compiled_selectors* selectors,
                        totals& sum) {
  sum = {};
  const auto start = cpu_seconds();
  for (const auto& page : pages) {
    const auto facts = parse_page({page.body, "text/html; charset=UTF-8", page.url}, selectors);
    sum.links += facts.links;
    sum.headings += facts.headings;
    sum.discovered += facts.discovered.size();
  }
  return static_cast<double>(pages.size()) / (cpu_seconds() - start);
}

void measure(const char* name, const std::vector<sample>& pages, int runs, bool arena,
             const compiled_selectors* selectors) {
  page_arena::enable(arena);
  totals sum;
  std::vector<double> rates;
  pages_per_second(pages, selectors, sum); // warms caches
  for (int i = 0; i < runs; ++i)
    rates.push_back(pages_per_second(pages, selectors, sum));
  std::sort(rates.begin(), rates.end());
  std::printf("%-34s %9.0f %9.0f %9.0f   %ld %ld %zu\n", name, rates.front(),
              rates[rates.size() / 2], rates.back(), sum.links, sum.headings, sum.discovered);
}

} // namespace

int main(int argc, char** argv) {
  const auto pages = read_pages(argc > 1 ? argv[1] : "/usr/share/doc/postgresql-doc-15/html");
  const int runs = argc > 2 ? std::max(1, std::atoi(argv[2])) : 7;
  if (pages.empty()) {
    std::fprintf(stderr,
                 "no .html files there; apt-get install postgresql-doc-15, or name a folder\n");
    return 2;
  }
  auto compiled = compiled_selectors::compile({{"heading", "//h1|//h2"},
                                               {"paragraphs", "count(//p)"},
                                               {"next", "string(//link[@rel='next']/@href)"}});
  const auto* selectors = std::get_if<compiled_selectors>(&compiled);
  std::size_t bytes = 0;
  for (const auto& page : pages)
    bytes += page.body.size();
  std::printf("%zu pages, %zu bytes, %d runs; pages per CPU second of one thread\n", pages.size(),
              bytes, runs);
  std::printf("%-34s %9s %9s %9s   links headings discovered\n", "", "min", "median", "max");
  measure("no selectors, arena", pages, runs, true, nullptr);
  measure("no selectors, malloc", pages, runs, false, nullptr);
  measure("three selectors, arena", pages, runs, true, selectors);
  measure("three selectors, malloc", pages, runs, false, selectors);
  return 0;
}
