#include "handlers/scrape_page.hpp"

#include "handlers/text.hpp"

#include <algorithm>
#include <list>
#include <utility>

namespace troupe {

namespace {

/// The crawl's selectors, compiled once per crawl and worker thread.
const compiled_selectors* selectors_of(const spec_ptr& spec, std::size_t keep, std::string& error) {
  struct kept {
    spec_ptr spec; ///< held, so its address stays its own
    compiled_selectors compiled;
  };
  thread_local std::list<kept> cache;
  const auto found =
      std::find_if(cache.begin(), cache.end(), [&](const kept& k) { return k.spec == spec; });
  if (found != cache.end()) {
    cache.splice(cache.begin(), cache, found);
    return &cache.front().compiled;
  }
  auto compiled = compiled_selectors::compile(spec->selectors);
  if (auto* why = std::get_if<std::string>(&compiled)) {
    error = std::move(*why);
    return nullptr;
  }
  cache.push_front({spec, std::get<compiled_selectors>(std::move(compiled))});
  while (cache.size() > std::max<std::size_t>(keep, 1))
    cache.pop_back();
  return &cache.front().compiled;
}

} // namespace

bool is_html(std::string_view content_type, std::string_view body) {
  if (!content_type.empty())
    return starts_with_lower(content_type, "text/html")
           || starts_with_lower(content_type, "application/xhtml+xml");
  const auto first = body.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos || body[first] == '<';
}

page_visit::page_visit(std::shared_ptr<page_room> room, job_run_ptr run, completion done)
    : room_(std::move(room)), run_(std::move(run)), done_(std::move(done)) {}

void page_visit::start() {
  auto args = read_page_args(run_->args);
  if (const auto* bad = std::get_if<bad_args>(&args))
    return done_(discarded(bad->reason));
  args_ = std::get<page_args>(std::move(args));
  outcome_.crawl = args_.crawl;
  outcome_.page = run_->id;
  outcome_.url = args_.url;
  outcome_.depth = args_.depth;
  room_->specs->get(args_.crawl, [self = shared_from_this()](result_or<spec_ptr> answer) {
    if (auto* spec = std::get_if<spec_ptr>(&answer)) {
      self->spec_ = std::move(*spec);
      return self->fetch();
    }
    const auto& why = std::get<failure>(answer);
    const auto reason = "the crawl's spec could not be read: " + why.detail;
    self->done_(why.code == errc::not_found ? discarded(reason) : failed(reason));
  });
}

void page_visit::fetch() {
  room_->deps.pages.fetch(
      {args_.url, run_->stop},
      [self = shared_from_this()](fetch_response response) { self->fetched(std::move(response)); });
}

void page_visit::fetched(fetch_response response) {
  response_ = std::move(response);
  outcome_.status = response_.status;
  outcome_.bytes = static_cast<std::int64_t>(response_.body.size());
  switch (response_.error) {
  case fetch_error::none:
    return answered();
  case fetch_error::cancelled:
  case fetch_error::stopping:
    return done_(failed(response_.reason));
  case fetch_error::overloaded:
    return done_(snoozed(room_->deps.options.retry_first));
  default:
    break;
  }
  const auto reason = std::string(to_string(response_.error)) + ": " + response_.reason;
  if (is_transient(response_.error))
    return retry_or_record(reason);
  record_failed(reason);
}

void page_visit::answered() {
  const int status = response_.status;
  const auto http = "HTTP " + std::to_string(status);
  if (status >= 500 || status == 429 || status == 408)
    return retry_or_record(http);
  if (status >= 300 && status < 400 && !response_.location.empty()) {
    // Elsewhere that is a fact about the page; at the start it means there is nothing to crawl.
    if (args_.depth == 0)
      return record_failed(http + ": leads to " + response_.location
                           + ", outside the crawl's host; start there instead");
    return record(completed("{\"status\":" + std::to_string(status) + ",\"links\":0}"));
  }
  if (status < 200 || status >= 300)
    return record_failed(http);
  if (!is_html(response_.content_type, response_.body))
    return record_failed("not an HTML page: " + std::string(cut_utf8(response_.content_type, 100)));
  // Off the I/O thread: parsing is what a crawl spends its time on.
  if (!room_->deps.workers.post([self = shared_from_this()] { self->parse(); }))
    done_(snoozed(room_->deps.options.retry_first));
}

void page_visit::parse() {
  std::string error;
  const compiled_selectors* selectors = nullptr;
  if (!spec_->selectors.empty()) {
    selectors = selectors_of(spec_, room_->deps.options.thread_selectors, error);
    if (!error.empty())
      return record_failed(error);
  }
  try {
    auto facts = parse_page({response_.body, response_.content_type, response_.url}, selectors);
    outcome_.title = std::move(facts.title);
    outcome_.headings = facts.headings;
    outcome_.links = facts.links;
    outcome_.fields = std::move(facts.fields);
    if (args_.depth < spec_->max_depth)
      outcome_.discovered = std::move(facts.discovered);
    error = std::move(facts.error);
  } catch (const std::bad_alloc&) {
    return retry_or_record("out of memory while parsing");
  }
  response_.body = {};
  if (!error.empty())
    return record_failed(error);
  record(completed("{\"status\":" + std::to_string(outcome_.status)
                   + ",\"links\":" + std::to_string(outcome_.links) + "}"));
}

void page_visit::retry_or_record(const std::string& reason) {
  const auto& options = room_->deps.options;
  if (run_->attempt >= std::min(options.page_attempts, run_->max_attempts))
    return record_failed(reason);
  auto result = failed(reason);
  result.retry_in = run_->attempt == 1 ? options.retry_first : options.retry_later;
  if (response_.retry_after)
    result.retry_in = std::clamp<std::chrono::milliseconds>(
        std::min<std::chrono::seconds>(*response_.retry_after, std::chrono::hours{1}),
        *result.retry_in, std::max(*result.retry_in, options.retry_longest));
  done_(std::move(result));
}

void page_visit::record_failed(const std::string& reason) {
  // Headers and libcurl's texts may hold any byte; the database takes clean UTF-8 only.
  outcome_.error = cut_utf8(clean_utf8(reason), limits::error_bytes);
  record(discarded(outcome_.error));
}

void page_visit::record(job_result verdict) {
  room_->deps.port.record(
      std::move(outcome_),
      [self = shared_from_this(), verdict = std::move(verdict)](result_or<crawl_progress> answer) {
        if (const auto* progress = std::get_if<crawl_progress>(&answer)) {
          self->room_->live.tell(*progress);
          return self->done_(verdict);
        }
        const auto& why = std::get<failure>(answer);
        const auto reason = "the page could not be recorded: " + why.detail;
        self->done_(why.code == errc::not_found ? discarded(reason) : failed(reason));
      });
}

} // namespace troupe
