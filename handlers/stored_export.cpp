#include "handlers/stored_export.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <functional>
#include <mutex>
#include <new>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

namespace troupe {

namespace {

class digest {
public:
  digest() : context_(EVP_MD_CTX_new()) {
    if (context_ == nullptr || EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) != 1)
      throw std::bad_alloc{};
  }
  digest(const digest&) = delete;
  digest& operator=(const digest&) = delete;
  ~digest() { EVP_MD_CTX_free(context_); }

  void add(std::string_view bytes) { EVP_DigestUpdate(context_, bytes.data(), bytes.size()); }
  /// The end of it.
  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
    unsigned size = 0;
    EVP_DigestFinal_ex(context_, raw.data(), &size);
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    for (unsigned i = 0; i < size; ++i) {
      out += digits[raw.at(i) >> 4];
      out += digits[raw.at(i) & 15];
    }
    return out;
  }

private:
  EVP_MD_CTX* context_;
};

/// Lines of a text that comes in pieces; those of CSV not within quotes.
struct line_count {
  std::int64_t lines = 0;
  bool quoted = false;

  void add(std::string_view text, export_format format) {
    if (format != export_format::csv) {
      lines += std::count(text.begin(), text.end(), '\n');
      return;
    }
    for (const char c : text) {
      if (c == '"')
        quoted = !quoted;
      else if (c == '\n' && !quoted)
        ++lines;
    }
  }
  /// But for the header of CSV, and the line that ends an array.
  std::int64_t rows(export_format format) const {
    return format == export_format::ndjson ? lines : lines - 1;
  }
};

/// Counts what it hands on.
class counted_text final : public text_source {
public:
  counted_text(std::unique_ptr<text_source> text, export_format format,
               std::shared_ptr<line_count> count)
      : text_(std::move(text)), format_(format), count_(std::move(count)) {}
  void next(std::function<void(piece)> reply) override {
    text_->next([format = format_, count = count_, reply = std::move(reply)](piece told) {
      if (const auto* text = std::get_if<std::optional<std::string>>(&told); text && *text)
        count->add(**text, format);
      reply(std::move(told));
    });
  }

private:
  std::unique_ptr<text_source> text_;
  export_format format_;
  std::shared_ptr<line_count> count_;
};

/// One run. Its steps follow one another, each on the thread that brings the answer to the last.
class exporting : public std::enable_shared_from_this<exporting> {
public:
  exporting(std::shared_ptr<const stored_export_deps> deps, job_run_ptr run, completion done)
      : deps_(std::move(deps)), run_(std::move(run)), done_(std::move(done)) {}

  void start() {
    on_stop_.emplace(run_->stop, [weak = weak_from_this()] {
      if (const auto self = weak.lock())
        self->release();
    });
    deps_->files.begin(
        run_->id, run_->attempt,
        [self = shared_from_this()](const result_or<std::optional<export_order>>& told) {
          self->begun(told);
        });
  }

private:
  void begun(const result_or<std::optional<export_order>>& told) {
    if (const auto* why = std::get_if<failure>(&told))
      return fail(*why);
    const auto& order = std::get<std::optional<export_order>>(told);
    if (!order)
      return end(discarded("this job was not put in as an export (POST /api/v1/exports)"));
    format_ = order->what.format;
    std::unique_ptr<text_source> text =
        std::make_unique<counted_text>(deps_->texts.jobs(order->what), format_, lines_);
    if (order->gzip)
      text = deps_->gzip(std::move(text));
    {
      const std::lock_guard lock{guard_};
      source_ = std::move(text);
    }
    pull();
  }

  void pull() {
    if (run_->stop.stop_requested())
      return stopped();
    std::shared_ptr<text_source> source;
    {
      const std::lock_guard lock{guard_};
      source = source_;
    }
    if (!source)
      return stopped();
    source->next([way = answered(shared_from_this())](text_source::piece told) {
      way->give(std::move(told));
    });
  }

  /// A source may drop its callback, which is no answer: the run fails then.
  class way_back {
  public:
    explicit way_back(std::shared_ptr<exporting> to) : to_(std::move(to)) {}
    way_back(const way_back&) = delete;
    way_back& operator=(const way_back&) = delete;
    ~way_back() { give(failure{errc::stopping, "nobody makes the text any more"}); }
    void give(text_source::piece told) {
      if (const auto to = std::exchange(to_, nullptr))
        to->got(std::move(told));
    }

  private:
    std::shared_ptr<exporting> to_;
  };
  static std::shared_ptr<way_back> answered(std::shared_ptr<exporting> to) {
    return std::make_shared<way_back>(std::move(to));
  }

  void got(text_source::piece told) {
    if (const auto* why = std::get_if<failure>(&told))
      return fail(*why);
    auto& text = std::get<std::optional<std::string>>(told);
    whole_ = !text;
    if (text)
      waiting_ += *text;
    put();
  }

  void put() {
    const auto size = std::min(waiting_.size(), limits::export_chunk);
    if (size == 0 || (size < limits::export_chunk && !whole_))
      return whole_ ? keep() : pull();
    if (run_->stop.stop_requested())
      return stopped();
    auto chunk = waiting_.substr(0, size);
    waiting_.erase(0, size);
    sum_.add(chunk);
    bytes_ += static_cast<std::int64_t>(size);
    deps_->files.put(
        run_->id, run_->attempt, chunks_++, std::move(chunk),
        [self = shared_from_this()](const result_or<chunk_fate>& fate) { self->stored(fate); });
  }

  void stored(const result_or<chunk_fate>& told) {
    if (const auto* why = std::get_if<failure>(&told))
      return fail(*why);
    switch (std::get<chunk_fate>(told)) {
    case chunk_fate::kept:
      run_->progress(std::nullopt, std::to_string(bytes_) + " bytes");
      return put();
    case chunk_fate::late:
      return end(failed("another one has written this run's outcome"));
    case chunk_fate::file_too_long:
      return end(discarded("the file is too long: name a filter or a limit, or let it be "
                           "compressed (docs/exports.md has the bounds)"));
    case chunk_fate::no_room:
      return end(discarded("there is no room: the exports that are kept have as many bytes as "
                           "they may have together"));
    }
  }

  void keep() {
    release(); // its connection may be the only one that is lent
    stored_file file;
    file.attempt = run_->attempt;
    file.bytes = bytes_;
    file.rows = lines_->rows(format_);
    file.sha256 = sum_.hex();
    auto result = "{\"bytes\":" + std::to_string(file.bytes) + ",\"rows\":"
                  + std::to_string(file.rows) + ",\"sha256\":\"" + file.sha256 + "\"}";
    deps_->files.keep(
        run_, std::move(file),
        [self = shared_from_this(), result = std::move(result)](const result_or<bool>& told) {
          if (const auto* why = std::get_if<failure>(&told))
            return self->fail(*why);
          self->end(completed(result));
        });
  }

  /// What makes the text ends, and what is asked of it is answered.
  void release() {
    std::shared_ptr<text_source> gone; // goes after the lock
    {
      const std::lock_guard lock{guard_};
      gone.swap(source_);
    }
  }
  void stopped() { end(failed("stopped after " + std::to_string(bytes_) + " bytes")); }
  void fail(const failure& why) { end(failed(to_string(why.code) + ": " + why.detail)); }
  void end(job_result result) {
    release();
    done_(std::move(result));
  }

  std::shared_ptr<const stored_export_deps> deps_;
  job_run_ptr run_;
  completion done_;
  export_format format_ = export_format::ndjson;
  std::shared_ptr<line_count> lines_ = std::make_shared<line_count>();
  std::mutex guard_; ///< of what a stop lets go, on whatever thread it comes
  std::shared_ptr<text_source> source_;
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;
  std::string waiting_; ///< less than a chunk, and one piece
  bool whole_ = false;
  int chunks_ = 0;
  std::int64_t bytes_ = 0;
  digest sum_;
};

} // namespace

void add_stored_export(handler_table& kinds, stored_export_deps deps) {
  auto shared = std::make_shared<const stored_export_deps>(std::move(deps));
  kinds[export_kind] = async_handler{[shared](job_run_ptr run, completion done) {
    std::make_shared<exporting>(shared, std::move(run), std::move(done))->start();
  }};
}

} // namespace troupe
