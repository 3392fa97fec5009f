#include "db/crawl_statements.hpp"

#include "db/columns.hpp"
#include "db/statements.hpp"

namespace troupe::db {

query open_crawl_query(const open_crawl& ask) {
  std::vector<std::string> selectors;
  for (const auto& one : ask.spec.selectors) {
    selectors.push_back(one.name);
    selectors.push_back(one.xpath);
  }
  query q{sql::crawl_open};
  q.bind(ask.crawl.value).bind(ask.spec.url);
  q.bind(static_cast<std::int32_t>(ask.spec.max_depth));
  q.bind(static_cast<std::int32_t>(ask.spec.max_pages));
  q.bind(selectors);
  return q;
}

query crawl_spec_query(job_id crawl) {
  query q{sql::crawl_spec};
  q.bind(crawl.value);
  return q;
}

std::optional<crawl_spec> decode_crawl_spec(const result& rows) {
  if (rows.empty())
    return std::nullopt;
  const auto from = rows.one();
  crawl_spec spec;
  spec.url = from.get<std::string>(0);
  spec.max_depth = from.get<std::int32_t>(1);
  spec.max_pages = from.get<std::int32_t>(2);
  const auto selectors = from.get<std::vector<std::string>>(3);
  for (std::size_t i = 0; i + 1 < selectors.size(); i += 2)
    spec.selectors.push_back({selectors[i], selectors[i + 1]});
  return spec;
}

query record_query(const record_pages& ask) {
  using page = page_outcome;
  const auto& pages = ask.pages;
  std::vector<std::int64_t> link_crawls;
  std::vector<std::string> link_urls;
  std::vector<std::int32_t> link_depths;
  for (const auto& one : pages)
    for (const auto& url : one.discovered) {
      link_crawls.push_back(one.crawl.value);
      link_urls.push_back(url);
      link_depths.push_back(one.depth + 1);
    }
  query q{sql::crawl_record};
  q.bind(column(pages, [](const page& one) { return one.crawl.value; }));
  q.bind(column(pages, [](const page& one) { return one.page.value; }));
  q.bind(column(pages, &page::url)).bind(column(pages, &page::status));
  q.bind(column(pages, &page::title)).bind(column(pages, &page::headings));
  q.bind(column(pages, &page::links)).bind(column(pages, &page::bytes));
  q.bind_jsonb_array(column(pages, &page::fields)).bind_text_array(column(pages, &page::error));
  q.bind(link_crawls).bind(link_urls).bind(link_depths);
  return q;
}

bool decode_recorded(const result& rows) {
  return rows.one().get<std::int64_t>(0) > 0;
}

query progress_query(const std::vector<job_id>& crawls) {
  query q{sql::crawl_progress};
  q.bind(column(crawls, &job_id::value));
  return q;
}

std::vector<crawl_progress> decode_progress(const result& rows) {
  std::vector<crawl_progress> answer;
  for (int i = 0; i < rows.rows(); ++i) {
    const auto from = rows[i];
    crawl_progress one;
    one.crawl = job_id{from.get<std::int64_t>(0)};
    one.pages = from.get<std::int64_t>(1);
    one.fetched = from.get<std::int64_t>(2);
    one.failed = from.get<std::int64_t>(3);
    one.bytes = from.get<std::int64_t>(4);
    one.closed = from.get<bool>(5);
    answer.push_back(one);
  }
  return answer;
}

query reconcile_query(job_id crawl) {
  query q{sql::crawl_reconcile};
  q.bind(crawl.value);
  return q;
}

query close_query(job_id crawl) {
  query q{sql::crawl_close};
  q.bind(crawl.value);
  return q;
}

query items_query(const list_items& ask) {
  query q{sql::item_list};
  q.bind(ask.crawl.value).bind(ask.after.value).bind(static_cast<std::int64_t>(ask.limit));
  return q;
}

item_page decode_items(const result& rows) {
  item_page answer;
  answer.items.reserve(static_cast<std::size_t>(rows.rows()));
  for (int i = 0; i < rows.rows(); ++i) {
    const auto from = rows[i];
    item_record item;
    item.page = job_id{from.get<std::int64_t>(0)};
    item.url = from.get<std::string>(1);
    item.status = from.get<std::int32_t>(2);
    item.title = from.get<std::string>(3);
    item.headings = from.get<std::int32_t>(4);
    item.links = from.get<std::int32_t>(5);
    item.bytes = from.get<std::int64_t>(6);
    item.fetched_at = from.get<timestamp>(7);
    item.fields = from.get<std::optional<std::string>>(8).value_or("");
    item.error = from.get<std::optional<std::string>>(9).value_or("");
    answer.items.push_back(std::move(item));
  }
  return answer;
}

} // namespace troupe::db
