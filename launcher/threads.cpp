// Signals are blocked in the parent around the creation: a thread that blocks them itself could get
// one before it does.
#include "launcher/threads.hpp"

#include <algorithm>
#include <pthread.h>
#include <signal.h>
#include <string>
#include <utility>

namespace troupe {

std::thread start_thread(const char* name, std::function<void()> body) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread started;
  try {
    started = std::thread(std::move(body));
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(started.native_handle(), std::string(name).substr(0, 15).c_str());
  return started;
}

std::size_t threads_or_cores(int wanted) {
  if (wanted > 0)
    return static_cast<std::size_t>(wanted);
  return std::max<std::size_t>(2, std::thread::hardware_concurrency());
}

} // namespace troupe
