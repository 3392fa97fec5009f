// Threads of ours are named and deaf to signals; the thread that starts them stays as it was.
#include "launcher/threads.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <pthread.h>
#include <signal.h>
#include <string>

BOOST_AUTO_TEST_CASE(a_started_thread_blocks_signals_and_its_starter_does_not) {
  sigset_t inside;
  sigset_t outside;
  troupe::start_thread("test", [&] { pthread_sigmask(SIG_SETMASK, nullptr, &inside); }).join();
  pthread_sigmask(SIG_SETMASK, nullptr, &outside);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD}) {
    BOOST_TEST(sigismember(&inside, signal) == 1);
    BOOST_TEST(sigismember(&outside, signal) == 0);
  }
}

BOOST_AUTO_TEST_CASE(a_long_name_is_cut) {
  std::string name;
  // The name is given after the thread began, so the thread waits for the mutex its starter holds.
  pthread_mutex_t named = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&named);
  auto thread = troupe::start_thread("a-name-longer-than-fifteen", [&] {
    pthread_mutex_lock(&named);
    std::array<char, 32> read{};
    pthread_getname_np(pthread_self(), read.data(), read.size());
    name = read.data();
    pthread_mutex_unlock(&named);
  });
  pthread_mutex_unlock(&named);
  thread.join();
  BOOST_TEST(name == "a-name-longer-t");
}
