// Exports that are kept, as a test has put them there: for tests of HTTP alone. How they are made
// and stored is tested against PostgreSQL elsewhere.
#pragma once

#include "messages/stored_export.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe::tests {

class stored_files final : public stored_export_port {
public:
  struct one_file {
    export_record told;
    std::string text;
    std::optional<std::size_t> ends_at = {}; ///< bytes of it that can be read
  };

  void put(job_id id, one_file what) {
    what.told.id = id;
    const std::lock_guard lock{guard_};
    files_[id.value] = std::move(what);
  }
  /// What start() answers instead.
  void answer_start(result_or<started_export> with) {
    const std::lock_guard lock{guard_};
    start_ = std::move(with);
  }
  std::vector<export_order> started() const {
    const std::lock_guard lock{guard_};
    return started_;
  }
  std::vector<std::string> keys() const {
    const std::lock_guard lock{guard_};
    return keys_;
  }
  std::vector<list_exports> listed() const {
    const std::lock_guard lock{guard_};
    return listed_;
  }
  /// Starts, lists, looks and reads.
  std::size_t asked() const {
    const std::lock_guard lock{guard_};
    return asked_;
  }
  std::size_t reads() const {
    const std::lock_guard lock{guard_};
    return reads_;
  }

  void start(export_order order, std::string key, on_result<started_export> reply) override {
    std::optional<result_or<started_export>> out;
    {
      const std::lock_guard lock{guard_};
      ++asked_;
      started_.push_back(std::move(order));
      keys_.push_back(std::move(key));
      out = start_;
    }
    reply(std::move(*out));
  }
  void list(list_exports what, on_result<export_page> reply) override {
    export_page out;
    {
      const std::lock_guard lock{guard_};
      ++asked_;
      listed_.push_back(std::move(what));
      for (const auto& [id, one] : files_)
        out.exports.insert(out.exports.begin(), one.told);
    }
    reply(std::move(out));
  }
  void find(job_id id, on_result<export_record> reply) override {
    result_or<export_record> out = failure{errc::not_found, "there is no such export"};
    {
      const std::lock_guard lock{guard_};
      ++asked_;
      if (const auto found = files_.find(id.value); found != files_.end())
        out = found->second.told;
    }
    reply(std::move(out));
  }
  std::unique_ptr<text_source> read(job_id id, const stored_file&, std::int64_t begin,
                                    std::int64_t end) override {
    const std::lock_guard lock{guard_};
    ++reads_;
    const auto& one = files_.at(id.value);
    const auto last =
        std::min(one.ends_at.value_or(one.text.size()), static_cast<std::size_t>(end));
    const auto first = std::min(last, static_cast<std::size_t>(begin));
    return std::make_unique<source>(one.text.substr(first, last - first));
  }
  // Nobody runs exports here.
  void begin(job_id, int, on_result<std::optional<export_order>> reply) override { refuse(reply); }
  void put(job_id, int, int, std::string, on_result<chunk_fate> reply) override { refuse(reply); }
  void keep(job_run_ptr, stored_file, on_result<bool> reply) override { refuse(reply); }

private:
  /// In pieces of 7 bytes.
  struct source final : text_source {
    explicit source(std::string t) : text(std::move(t)) {}
    void next(std::function<void(piece)> reply) override {
      if (at >= text.size())
        return reply(std::optional<std::string>{});
      auto some = text.substr(at, 7);
      at += some.size();
      reply(std::optional{std::move(some)});
    }
    std::string text;
    std::size_t at = 0;
  };
  template<class T>
  static void refuse(const on_result<T>& reply) {
    reply(failure{errc::internal, "no run is expected here"});
  }

  mutable std::mutex guard_;
  std::map<std::int64_t, one_file> files_;
  result_or<started_export> start_ = started_export{job_id{17}, key_use::none};
  std::vector<export_order> started_;
  std::vector<std::string> keys_;
  std::vector<list_exports> listed_;
  std::size_t asked_ = 0;
  std::size_t reads_ = 0;
};

/// A finished export of a queue's jobs.
inline stored_files::one_file finished_export(std::string text, std::string queue = "mail",
                                              bool gzip = false) {
  stored_files::one_file out;
  out.told.order.what.filter.queue = std::move(queue);
  out.told.order.gzip = gzip;
  out.told.state = job_state::completed;
  out.told.attempt = 1;
  out.told.created_at = timestamp{std::chrono::seconds{1'700'000'000}};
  out.told.file = stored_file{1,
                              static_cast<std::int64_t>(text.size()),
                              2,
                              std::string(64, 'a'),
                              out.told.created_at,
                              out.told.created_at + std::chrono::hours{24}};
  out.text = std::move(text);
  return out;
}

} // namespace troupe::tests
