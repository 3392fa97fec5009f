#include "handlers/fetcher.hpp"

#include "handlers/transfer.hpp"
#include "messages/log.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <new>
#include <unordered_map>
#include <utility>
#include <vector>

namespace troupe {

std::string_view to_string(fetch_error error) {
  switch (error) {
  case fetch_error::none:
    return "none";
  case fetch_error::refused:
    return "refused";
  case fetch_error::dns:
    return "dns";
  case fetch_error::connect:
    return "connect";
  case fetch_error::timeout:
    return "timeout";
  case fetch_error::tls:
    return "tls";
  case fetch_error::too_large:
    return "too large";
  case fetch_error::protocol:
    return "protocol";
  case fetch_error::redirects:
    return "redirects";
  case fetch_error::cancelled:
    return "cancelled";
  case fetch_error::overloaded:
    return "overloaded";
  case fetch_error::stopping:
    return "stopping";
  }
  return "unknown";
}

bool is_transient(fetch_error error) {
  switch (error) {
  case fetch_error::dns:
  case fetch_error::connect:
  case fetch_error::timeout:
  case fetch_error::tls:
  case fetch_error::protocol:
  case fetch_error::cancelled:
  case fetch_error::overloaded:
  case fetch_error::stopping:
    return true;
  case fetch_error::none:
  case fetch_error::refused:
  case fetch_error::too_large:
  case fetch_error::redirects:
    return false;
  }
  return false;
}

/// Everything but admission runs on the loop's thread. Held by the fetcher and by what it posted;
/// watches and timers hold it weakly.
class fetcher::core : public std::enable_shared_from_this<core>, public socket_owner {
public:
  core(io_loop& loop, fetcher_options options);
  ~core() override;
  core(const core&) = delete;
  core& operator=(const core&) = delete;

  /// From any thread.
  void submit(fetch_request request, reply done);
  void shut_down();
  io_loop& loop() { return loop_; }

  void opened(curl_socket_t fd) override;
  void closing(curl_socket_t fd) override;

private:
  struct watched {
    std::unique_ptr<fd_watch> watch;
    std::uint64_t birth = 0; ///< descriptors are reused, so a late callback must name its own
    int wants = 0;           ///< CURL_POLL_IN, _OUT; kept armed only as far as libcurl asks
    bool reading = false;    ///< armed
    bool writing = false;
    bool ours = false; ///< opened by us, so closing() tells when it goes
  };
  using transfer_ptr = std::shared_ptr<transfer>;

  static int on_socket(CURL*, curl_socket_t fd, int what, void* self, void*);
  static int on_timer(CURLM*, long milliseconds, void* self);

  void admit(transfer_ptr next);
  void start(transfer_ptr next);
  void start_waiting();
  void cancel(std::uint64_t id);
  void settle();
  void collect();
  void retire(const transfer_ptr& done);
  void ready(curl_socket_t fd, std::uint64_t birth, int what);
  void expired();
  void arm(curl_socket_t fd, watched& w);

  io_loop& loop_;
  const fetcher_options options_;
  CURLM* multi_;
  std::unique_ptr<io_timer> timer_;
  std::unordered_map<curl_socket_t, watched> sockets_;
  std::unordered_map<std::uint64_t, transfer_ptr> running_;
  std::deque<transfer_ptr> waiting_;
  std::vector<easy_handle> idle_; ///< at most max_transfers
  std::atomic<std::size_t> admitted_{0};
  std::atomic<std::uint64_t> last_id_{0};
  std::uint64_t births_ = 0;
  bool timer_due_ = false;
  bool closed_ = false;
};

fetcher::core::core(io_loop& loop, fetcher_options options)
    : loop_(loop), options_(std::move(options)), multi_(nullptr), timer_(loop.timer()) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  multi_ = curl_multi_init();
  if (multi_ == nullptr)
    throw std::bad_alloc();
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &core::on_socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &core::on_timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, options_.connections_per_host);
  curl_multi_setopt(multi_, CURLMOPT_MAX_TOTAL_CONNECTIONS,
                    static_cast<long>(options_.max_transfers));
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(options_.max_transfers));
}

fetcher::core::~core() {
  shut_down();
  idle_.clear();
  curl_multi_cleanup(multi_);
}

void fetcher::core::submit(fetch_request request, reply done) {
  const auto id = ++last_id_;
  auto next = std::make_shared<transfer>(id, std::move(request), std::move(done), options_, *this);
  auto self = shared_from_this();
  if (admitted_.fetch_add(1) >= options_.max_transfers + options_.max_waiting) {
    --admitted_;
    loop_.post([self, next] {
      next->fail(fetch_error::overloaded, "too many fetches are waiting");
      next->deliver();
    });
    return;
  }
  loop_.post([self, next] { self->admit(next); });
}

void fetcher::core::shut_down() {
  closed_ = true;
  std::vector<transfer_ptr> ended(waiting_.begin(), waiting_.end());
  waiting_.clear();
  for (auto& [id, running] : running_) {
    curl_multi_remove_handle(multi_, running->easy());
    running->end();
    ended.push_back(running);
  }
  running_.clear();
  sockets_.clear();
  timer_.reset();
  for (const auto& one : ended) {
    one->on_stop.reset();
    one->fail(fetch_error::stopping, "the fetcher is stopping");
    one->deliver();
  }
}

void fetcher::core::admit(transfer_ptr next) {
  if (closed_) {
    next->fail(fetch_error::stopping, "the fetcher is stopping");
    next->deliver();
    return;
  }
  if (next->stop().stop_possible())
    next->on_stop = std::make_unique<std::stop_callback<std::function<void()>>>(
        next->stop(), [weak = weak_from_this(), id = next->id()] {
          if (auto self = weak.lock())
            self->loop_.post([weak, id] {
              if (auto locked = weak.lock())
                locked->cancel(id);
            });
        });
  waiting_.push_back(std::move(next));
  start_waiting();
  settle();
}

void fetcher::core::start(transfer_ptr next) {
  easy_handle easy;
  if (!idle_.empty()) {
    easy = std::move(idle_.back());
    idle_.pop_back();
  } else {
    easy.reset(curl_easy_init());
    if (easy)
      transfer::set_up(easy.get(), options_, *this);
  }
  if (!easy) {
    next->fail(fetch_error::overloaded, "out of memory");
    retire(next);
    return;
  }
  next->begin(std::move(easy));
  curl_multi_add_handle(multi_, next->easy());
  running_.emplace(next->id(), std::move(next));
}

void fetcher::core::start_waiting() {
  while (!waiting_.empty() && running_.size() < options_.max_transfers && !closed_) {
    auto next = std::move(waiting_.front());
    waiting_.pop_front();
    start(std::move(next));
  }
}

void fetcher::core::cancel(std::uint64_t id) {
  transfer_ptr found;
  if (const auto running = running_.find(id); running != running_.end()) {
    found = running->second;
    curl_multi_remove_handle(multi_, found->easy());
    found->end(); // its connection is in mid-answer; the handle goes with it
    running_.erase(running);
  } else {
    const auto at = std::find_if(waiting_.begin(), waiting_.end(),
                                 [id](const transfer_ptr& t) { return t->id() == id; });
    if (at == waiting_.end())
      return;
    found = *at;
    waiting_.erase(at);
  }
  found->fail(fetch_error::cancelled, "cancelled");
  retire(found);
  settle();
}

void fetcher::core::retire(const transfer_ptr& done) {
  --admitted_;
  done->on_stop.reset();
  done->deliver();
}

/// libcurl's messages about ended transfers; replies are given from here.
void fetcher::core::collect() {
  int left = 0;
  while (auto* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE)
      continue;
    const auto code = message->data.result; // the message dies with the handle's removal
    auto* easy = message->easy_handle;
    transfer* which = nullptr;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &which);
    const auto found = running_.find(which->id());
    const auto ended = found->second;
    curl_multi_remove_handle(multi_, easy);
    if (ended->finished(code)) {
      ended->begin(ended->end());
      curl_multi_add_handle(multi_, ended->easy());
      continue;
    }
    running_.erase(found);
    idle_.push_back(ended->end());
    retire(ended);
  }
}

/// After every call into libcurl: gives replies, starts what waits, and lets libcurl act at once
/// when it asked for that. Eight rounds at most, then other events of the loop have their turn.
void fetcher::core::settle() {
  for (int round = 0; round < 8 && !closed_; ++round) {
    collect();
    start_waiting();
    if (!std::exchange(timer_due_, false))
      return;
    int running = 0;
    curl_multi_socket_action(multi_, CURL_SOCKET_TIMEOUT, 0, &running);
  }
  if (!closed_)
    timer_->after(std::chrono::milliseconds{0}, [weak = weak_from_this()] {
      if (auto self = weak.lock())
        self->expired();
    });
}

void fetcher::core::expired() {
  if (closed_)
    return;
  int running = 0;
  curl_multi_socket_action(multi_, CURL_SOCKET_TIMEOUT, 0, &running);
  settle();
}

int fetcher::core::on_timer(CURLM*, long milliseconds, void* self) {
  auto& c = *static_cast<core*>(self);
  if (c.closed_)
    return 0;
  c.timer_due_ = milliseconds == 0;
  if (milliseconds < 0)
    c.timer_->cancel();
  else if (milliseconds > 0)
    c.timer_->after(std::chrono::milliseconds{milliseconds}, [weak = c.weak_from_this()] {
      if (auto locked = weak.lock())
        locked->expired();
    });
  return 0;
}

int fetcher::core::on_socket(CURL*, curl_socket_t fd, int what, void* self, void*) {
  auto& c = *static_cast<core*>(self);
  if (c.closed_)
    return 0;
  auto& w = c.sockets_[fd];
  w.wants = what == CURL_POLL_REMOVE ? 0 : what;
  if (what == CURL_POLL_REMOVE) {
    // A connection kept alive keeps its watch, unarmed, for its next transfer. Other descriptors
    // (the resolver's) are closed by libcurl without a word.
    if (!w.ours)
      c.sockets_.erase(fd);
    return 0;
  }
  c.arm(fd, w);
  return 0;
}

void fetcher::core::opened(curl_socket_t fd) {
  sockets_.erase(fd);
  sockets_[fd].ours = true;
}

void fetcher::core::closing(curl_socket_t fd) {
  sockets_.erase(fd);
}

void fetcher::core::arm(curl_socket_t fd, watched& w) {
  if (!w.watch) {
    w.watch = loop_.watch(fd);
    w.birth = ++births_;
    if (!w.watch) {
      log::warn("fetcher", "a socket cannot be watched; its fetch will time out");
      return;
    }
  }
  const auto callback = [this, fd, birth = w.birth](int what) {
    return [weak = weak_from_this(), fd, birth, what] {
      if (auto self = weak.lock())
        self->ready(fd, birth, what);
    };
  };
  if ((w.wants & CURL_POLL_IN) != 0 && !std::exchange(w.reading, true))
    w.watch->when_readable(callback(CURL_CSELECT_IN));
  if ((w.wants & CURL_POLL_OUT) != 0 && !std::exchange(w.writing, true))
    w.watch->when_writable(callback(CURL_CSELECT_OUT));
}

void fetcher::core::ready(curl_socket_t fd, std::uint64_t birth, int what) {
  const auto find = [&]() -> watched* {
    const auto at = sockets_.find(fd);
    return at != sockets_.end() && at->second.birth == birth ? &at->second : nullptr;
  };
  auto* w = find();
  if (closed_ || w == nullptr)
    return;
  (what == CURL_CSELECT_IN ? w->reading : w->writing) = false;
  if ((w->wants & (what == CURL_CSELECT_IN ? CURL_POLL_IN : CURL_POLL_OUT)) == 0)
    return;
  int running = 0;
  curl_multi_socket_action(multi_, fd, what, &running);
  settle();
  w = closed_ ? nullptr : find(); // libcurl may have closed it, and even opened it anew
  if (w != nullptr && w->watch)
    arm(fd, *w);
}

fetcher::fetcher(io_loop& loop, fetcher_options options)
    : core_(std::make_shared<core>(loop, std::move(options))) {}

fetcher::~fetcher() {
  // Not on this thread: the loop may be inside the core now.
  auto& loop = core_->loop();
  loop.post([core = std::move(core_)] { core->shut_down(); });
}

void fetcher::fetch(fetch_request request, reply done) {
  core_->submit(std::move(request), std::move(done));
}

} // namespace troupe
