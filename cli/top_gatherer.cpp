#include "cli/top_gatherer.hpp"

#include "cli/exit_code.hpp"
#include "launcher/threads.hpp"

#include <cerrno>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace troupe::cli {

namespace {

/// Of 500 queues each.
constexpr int most_pages = 4;
constexpr int most_jobs = 100;
constexpr int most_nodes = 100;
/// Running jobs whose progress is asked for in one reading.
constexpr std::size_t most_questions = 10;

/// True when there are more queues than pages.
bool read_pages(http_client& server, const std::string& path, top_reading& into,
                std::string (*add)(top_reading&, std::string_view)) {
  std::string after;
  for (int page = 0; page < most_pages; ++page) {
    auto of = path + "?limit=500";
    if (!after.empty())
      of.append("&after=").append(http_client::escaped(after));
    after = add(into, server.request("GET", of).body);
    if (after.empty())
      return false;
  }
  return true;
}

} // namespace

top_reading read_server(http_client& server, run_notes& notes, const std::string& queue) {
  top_reading out;
  const auto only = http_client::escaped(queue);
  if (queue.empty())
    out.more_queues = read_pages(server, "/api/v1/jobs/counts", out, add_counts);
  else
    add_counts(out, server.request("GET", "/api/v1/jobs/counts?queue=" + only).body);
  out.counted_at = std::chrono::steady_clock::now();
  out.taken_at = std::chrono::system_clock::now();
  if (queue.empty())
    read_pages(server, "/api/v1/queues", out, add_pauses);
  else
    add_pauses(out, R"({"queues":[)" + server.request("GET", "/api/v1/queues/" + only).body + "]}");
  const auto of_queue = queue.empty() ? std::string{} : "&queue=" + only;
  set_running(out, server
                       .request("GET", "/api/v1/jobs?state=running&limit="
                                           + std::to_string(most_jobs) + of_queue)
                       .body);
  for (const auto& id : notes.wanted(out, most_questions)) {
    const auto answer = server.send("GET", "/api/v1/jobs/" + id);
    for (const auto& job : out.running)
      if (job.id == id && answer.status == 200) // else it was deleted in the meantime
        notes.keep(job, read_progress(answer.body));
  }
  notes.apply(out);
  if (!queue.empty())
    return out;
  set_nodes(out, server.request("GET", "/api/v1/nodes?limit=" + std::to_string(most_nodes)).body);
  const auto health = server.send("GET", "/api/v1/health"); // 503 when it is failing
  if (health.status == 200 || health.status == 503)
    set_health(out, health.body);
  set_metrics(out, server.request("GET", "/metrics").body);
  return out;
}

top_gatherer::top_gatherer(const client_settings& client, std::chrono::milliseconds interval,
                           std::string queue, std::shared_ptr<const top_reading> first)
    : client_(client), interval_(interval),
      queue_(std::move(queue)), latest_{std::move(first), nullptr, {}},
      ready_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (ready_ < 0)
    throw std::system_error(errno, std::generic_category(), "eventfd");
  thread_ = start_thread("readings", [this] { run(); });
}

top_gatherer::~top_gatherer() {
  ending_ = true;
  { const std::lock_guard lock(guard_); }
  changed_.notify_all();
  thread_.join();
  ::close(ready_);
}

top_gatherer::latest top_gatherer::take() {
  eventfd_t ignored = 0;
  ::eventfd_read(ready_, &ignored);
  const std::lock_guard lock(guard_);
  return latest_;
}

void top_gatherer::pause(bool paused) {
  {
    const std::lock_guard lock(guard_);
    paused_ = paused;
  }
  changed_.notify_all();
}

bool top_gatherer::await_turn() {
  std::unique_lock lock(guard_);
  changed_.wait_for(lock, interval_, [this] { return ending_.load(); });
  changed_.wait(lock, [this] { return ending_ || !paused_; });
  return !ending_;
}

void top_gatherer::run() {
  http_client server(client_);
  server.abort_when(ending_);
  run_notes notes;
  while (await_turn()) {
    std::shared_ptr<const top_reading> now;
    std::string trouble;
    try {
      now = std::make_shared<top_reading>(read_server(server, notes, queue_));
    } catch (const std::exception& e) {
      trouble = e.what();
    }
    {
      const std::lock_guard lock(guard_);
      latest_.trouble = std::move(trouble);
      if (now) {
        latest_.before = std::exchange(latest_.now, now);
      }
    }
    ::eventfd_write(ready_, 1);
  }
}

} // namespace troupe::cli
