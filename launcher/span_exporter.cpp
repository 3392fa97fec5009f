#include "launcher/span_exporter.hpp"

#include "launcher/threads.hpp"
#include "messages/backoff.hpp"
#include "messages/log.hpp"
#include "messages/version.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <iterator>
#include <new>
#include <random>

namespace troupe {

namespace {

/// For the last spans to go to their collector.
constexpr std::chrono::seconds flush_limit{2};
/// Of an answer, of which we read what was rejected.
constexpr std::size_t max_answer = 64UL * 1024;

std::size_t keep_body(char* data, std::size_t, std::size_t size, void* into) {
  auto& body = *static_cast<std::string*>(into);
  body.append(data, std::min(size, max_answer - std::min(max_answer, body.size())));
  return size;
}

} // namespace

/// To the collector; kept open between requests.
class span_exporter::connection {
public:
  connection(const span_exporter_options& options, const span_exporter& owner) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    easy_ = curl_easy_init();
    if (easy_ == nullptr)
      throw std::bad_alloc();
    const auto url = traces_url(options.endpoint);
    curl_easy_setopt(easy_, CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy_, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!options.ca_file.empty()) {
      curl_easy_setopt(easy_, CURLOPT_CAINFO, options.ca_file.c_str());
      curl_easy_setopt(easy_, CURLOPT_CAPATH, nullptr); // the system's
    }
    curl_easy_setopt(easy_, CURLOPT_PROXY, ""); // of the environment: none
    curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy_, CURLOPT_QUICK_EXIT, 1L); // else giving up waits for a name's lookup
    curl_easy_setopt(easy_, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(easy_, CURLOPT_USERAGENT, ("troupe/" + std::string{version}).c_str());
    curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS, static_cast<long>(options.request_time.count()));
    curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &keep_body);
    curl_easy_setopt(easy_, CURLOPT_WRITEDATA, &body_);
    curl_easy_setopt(easy_, CURLOPT_XFERINFOFUNCTION, &connection::look);
    curl_easy_setopt(easy_, CURLOPT_XFERINFODATA, &owner);
    curl_easy_setopt(easy_, CURLOPT_NOPROGRESS, 0L);
    add_header("Content-Type: application/json");
    add_header("Expect:"); // else a large body waits a second for leave to be sent
    for (const auto& [name, value] : options.headers)
      add_header(std::string{name}.append(": ").append(value));
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers_);
  }
  ~connection() {
    curl_easy_cleanup(easy_);
    curl_slist_free_all(headers_);
    curl_global_cleanup();
  }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  export_answer post(const std::string& text) {
    body_.clear();
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(text.size()));
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, text.c_str());
    const auto code = curl_easy_perform(easy_);
    long status = 0;
    if (code == CURLE_OK)
      curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    curl_header* header = nullptr;
    const bool told =
        status != 0
        && curl_easy_header(easy_, "Retry-After", 0, CURLH_HEADER, -1, &header) == CURLHE_OK;
    auto out = judge_export(static_cast<int>(status), body_, told ? header->value : "");
    if (code != CURLE_OK)
      out.reason = curl_easy_strerror(code);
    return out;
  }

private:
  /// libcurl asks now and then, once a second at least.
  static int look(void* owner, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<const span_exporter*>(owner)->out_of_time() ? 1 : 0;
  }
  void add_header(const std::string& line) {
    auto* longer = curl_slist_append(headers_, line.c_str());
    if (longer == nullptr)
      throw std::bad_alloc();
    headers_ = longer;
  }

  CURL* easy_ = nullptr;
  curl_slist* headers_ = nullptr;
  std::string body_;
};

span_exporter::span_exporter(span_exporter_options options, engine_counters& counters)
    : span_sink(options.sample_ratio), options_(std::move(options)), counters_(counters),
      connection_(std::make_unique<connection>(options_, *this)) {
  thread_ = start_thread("troupe-spans", [this] { run(); });
}

span_exporter::~span_exporter() {
  stop(flush_limit);
}

void span_exporter::add(std::vector<span> ended) {
  const std::lock_guard lock(guard_);
  if (deadline_) {
    counters_.spans_dropped_stopping += ended.size();
    return;
  }
  const auto before = waiting_.size();
  const auto room = std::min(ended.size(), options_.max_kept - kept_);
  counters_.spans_dropped_full += ended.size() - room;
  std::move(ended.begin(), ended.begin() + static_cast<std::ptrdiff_t>(room),
            std::back_inserter(waiting_));
  kept_ += room;
  const auto full = [&](std::size_t size) { return size >= options_.max_batch; };
  if ((before == 0 && room > 0) || (!full(before) && full(waiting_.size())))
    changed_.notify_all();
}

void span_exporter::stop(std::chrono::milliseconds limit) {
  {
    const std::lock_guard lock(guard_);
    if (!deadline_)
      deadline_ = clock::now() + limit;
    changed_.notify_all();
  }
  if (thread_.joinable())
    thread_.join();
}

bool span_exporter::out_of_time() const {
  const std::lock_guard lock(guard_);
  return deadline_ && clock::now() >= *deadline_;
}

/// Empty when there is nothing more to do.
std::vector<span> span_exporter::next_batch() {
  std::unique_lock lock(guard_);
  changed_.wait(lock, [&] { return !waiting_.empty() || deadline_; });
  changed_.wait_for(lock, options_.linger,
                    [&] { return waiting_.size() >= options_.max_batch || deadline_; });
  const auto count = std::min(waiting_.size(), options_.max_batch);
  const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<span> out(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
  waiting_.erase(waiting_.begin(), end);
  return out;
}

void span_exporter::run() {
  for (auto batch = next_batch(); !batch.empty(); batch = next_batch()) {
    deliver(batch);
    const std::lock_guard lock(guard_);
    kept_ -= batch.size();
  }
}

/// False when the end has come instead.
bool span_exporter::wait_before_retry(std::chrono::milliseconds pause) {
  std::unique_lock lock(guard_);
  if (deadline_)
    return false;
  changed_.wait_for(lock, pause, [&] { return deadline_.has_value(); });
  return true;
}

void span_exporter::deliver(const std::vector<span>& batch) {
  if (out_of_time()) {
    counters_.spans_dropped_stopping += batch.size();
    return;
  }
  const auto text = to_otlp(batch, options_.resource);
  const backoff pauses{options_.first_pause, options_.longest_pause};
  std::minstd_rand random{std::random_device{}()};
  for (int failures = 1;; ++failures) {
    const auto answer = connection_->post(text);
    if (answer.what == export_answer::verdict::taken) {
      const auto rejected = std::min(answer.rejected, batch.size());
      counters_.spans_dropped_rejected += rejected;
      counters_.spans_exported += batch.size() - rejected;
      if (rejected > 0)
        log::warn("spans", "the collector has left out " + std::to_string(rejected)
                               + " spans: " + answer.reason);
      if (failures > 1)
        log::info("spans", "the collector takes spans again");
      return;
    }
    ++counters_.span_export_errors;
    if (answer.what == export_answer::verdict::refused) {
      log::warn("spans", "the collector refuses spans: " + answer.reason);
      counters_.spans_dropped_rejected += batch.size();
      return;
    }
    if (failures == 1)
      log::warn("spans", "the collector takes no spans now: " + answer.reason);
    const auto pause =
        answer.retry_after.value_or(pauses.after(failures, static_cast<std::uint32_t>(random())));
    if (!wait_before_retry(pause)) {
      counters_.spans_dropped_stopping += batch.size();
      return;
    }
  }
}

} // namespace troupe
