// An engine that answers what a test told it to, for tests of HTTP alone. It is no database: what
// the real one does is tested against PostgreSQL elsewhere.
#pragma once

#include "http/requester.hpp"

#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace troupe::tests {

class canned_engine : public http::requester {
public:
  using reply_function = std::function<void(api_reply)>;
  /// What to do with a question; the default answers like an engine with one job, 17.
  using behaviour = std::function<void(api_request, reply_function)>;

  void on_ask(behaviour act) {
    const std::lock_guard lock{mutex_};
    act_ = std::move(act);
  }

  /// The same to every question.
  void always(api_reply reply) {
    on_ask(
        [reply = std::move(reply)](const api_request&, const reply_function& say) { say(reply); });
  }

  std::vector<api_request> asked() const {
    const std::lock_guard lock{mutex_};
    return asked_;
  }

  void ask(api_request request, reply_function reply) override {
    behaviour act;
    {
      const std::lock_guard lock{mutex_};
      asked_.push_back(request);
      act = act_;
    }
    if (act)
      act(std::move(request), std::move(reply));
    else
      reply(usual(request));
  }

  static job_record job(job_id id) {
    job_record out;
    out.id = id;
    out.queue = "default";
    out.kind = "echo";
    out.args = "{}";
    out.created_at = out.run_at = timestamp{std::chrono::seconds{1'700'000'000}};
    return out;
  }

  static api_reply usual(const api_request& request) {
    if (const auto* many = std::get_if<enqueue_jobs>(&request)) {
      enqueued_jobs out;
      for (std::size_t i = 0; i < many->jobs.size(); ++i)
        out.ids.push_back({17 + static_cast<std::int64_t>(i)});
      out.created_at = timestamp{std::chrono::seconds{1'700'000'000}};
      return out;
    }
    if (std::holds_alternative<list_jobs>(request))
      return job_page{{job({17}), job({16})}, job_id{16}};
    if (const auto* lines = std::get_if<get_log>(&request))
      return log_page{{{lines->after + 1, timestamp{}, 1, line_level::info, "a"}}, {}};
    if (const auto* removed = std::get_if<delete_job>(&request))
      return deleted_job{removed->id};
    return job({17});
  }

private:
  mutable std::mutex mutex_;
  behaviour act_;
  std::vector<api_request> asked_;
};

} // namespace troupe::tests
