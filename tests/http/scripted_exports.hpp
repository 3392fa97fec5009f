// Exports whose pieces a test gives one by one, and gunzip.
#pragma once

#include "messages/job_export.hpp"
#include "tests/support/await.hpp"

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>
#include <zlib.h>

namespace troupe::tests {

/// What one source was asked, and its way back. Outlives the source.
class scripted_text {
public:
  /// A test's thread: waits until the next piece is asked for and gives it. False: it never was.
  bool answer(text_source::piece piece) {
    if (!asked.await(++given_))
      return false;
    std::function<void(text_source::piece)> reply;
    {
      const std::lock_guard lock{guard_};
      reply = std::exchange(reply_, nullptr);
    }
    if (reply) // else its source has gone
      reply(std::move(piece));
    return true;
  }
  bool give(std::string text) { return answer(text_source::piece{std::optional{std::move(text)}}); }
  bool end() { return answer(text_source::piece{std::optional<std::string>{}}); }
  bool fail(errc code) { return answer(text_source::piece{failure{code, "as the test says"}}); }
  /// The source goes without an answer, as when the engine ends.
  bool drop() {
    if (!asked.await(++given_))
      return false;
    const std::lock_guard lock{guard_};
    reply_ = nullptr;
    return true;
  }

  event_counter asked;
  event_counter gone; ///< its source was destroyed

private:
  friend class scripted_exports;
  /// Nobody may answer any more: the server's loop may end before this.
  void forget() {
    std::function<void(text_source::piece)> reply; // goes after the lock
    const std::lock_guard lock{guard_};
    std::swap(reply, reply_);
  }
  void ask(std::function<void(text_source::piece)> reply) {
    {
      const std::lock_guard lock{guard_};
      reply_ = std::move(reply);
    }
    asked.add();
  }

  std::mutex guard_;
  std::function<void(text_source::piece)> reply_;
  int given_ = 0;
};

class scripted_exports final : public export_port {
public:
  std::unique_ptr<text_source> jobs(const export_jobs& what) override {
    auto made = std::make_shared<scripted_text>();
    {
      const std::lock_guard lock{guard_};
      asked_.push_back(what);
      texts_.push_back(made);
    }
    opened.add();
    return std::make_unique<source>(std::move(made));
  }
  /// Waits for the export of this number, from 0.
  std::shared_ptr<scripted_text> text(std::size_t number) {
    if (!opened.await(static_cast<int>(number) + 1))
      throw std::runtime_error("no such export");
    const std::lock_guard lock{guard_};
    return texts_[number];
  }
  std::vector<export_jobs> asked() const {
    const std::lock_guard lock{guard_};
    return asked_;
  }

  event_counter opened;

private:
  struct source final : text_source {
    explicit source(std::shared_ptr<scripted_text> t) : to(std::move(t)) {}
    source(const source&) = delete;
    source& operator=(const source&) = delete;
    ~source() override {
      to->forget();
      to->gone.add();
    }
    void next(std::function<void(piece)> reply) override { to->ask(std::move(reply)); }
    std::shared_ptr<scripted_text> to;
  };

  mutable std::mutex guard_;
  std::vector<export_jobs> asked_;
  std::vector<std::shared_ptr<scripted_text>> texts_;
};

/// Nothing when it is no gzip or not whole.
inline std::optional<std::string> gunzip(const std::string& bytes) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK)
    return std::nullopt;
  stream.next_in = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<unsigned>(bytes.size());
  std::string out;
  std::vector<unsigned char> some(64 * 1024);
  int said = Z_OK;
  while (said == Z_OK) {
    stream.next_out = some.data();
    stream.avail_out = static_cast<unsigned>(some.size());
    said = inflate(&stream, Z_NO_FLUSH);
    out.append(reinterpret_cast<const char*>(some.data()), some.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  return said == Z_STREAM_END && stream.avail_in == 0 ? std::optional{out} : std::nullopt;
}

} // namespace troupe::tests
