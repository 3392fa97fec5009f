// Preloaded into a process of the chaos harness: the time of day is the machine's and what the file
// that STEPPED_CLOCK names says, nanoseconds as one number in the machine's order. The monotonic
// clock and waits stay as they are, so whoever waits until a time of day waits by the machine's.
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t none = 0;

/// What the harness writes is seen at once. Called before the program's allocator is ready: no
/// memory is asked for.
const volatile std::int64_t* open_offset() {
  const char* name = std::getenv("STEPPED_CLOCK");
  const int file = name != nullptr ? open(name, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0)
    return &none;
  void* page = mmap(nullptr, sizeof(std::int64_t), PROT_READ, MAP_SHARED, file, 0);
  close(file);
  return page == MAP_FAILED ? &none : static_cast<const volatile std::int64_t*>(page);
}

std::int64_t time_of_day(clockid_t clock) {
  static const volatile std::int64_t* const offset = open_offset();
  timespec now{};
  syscall(SYS_clock_gettime, clock, &now);
  return now.tv_sec * second + now.tv_nsec + *offset;
}

} // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* out) noexcept {
  if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
    return static_cast<int>(syscall(SYS_clock_gettime, clock, out));
  const auto now = time_of_day(clock);
  out->tv_sec = now / second;
  out->tv_nsec = now % second;
  return 0;
}

int gettimeofday(timeval* out, void* /*zone*/) noexcept {
  const auto now = time_of_day(CLOCK_REALTIME);
  out->tv_sec = now / second;
  out->tv_usec = now % second / 1000;
  return 0;
}

time_t time(time_t* out) noexcept {
  const auto now = time_of_day(CLOCK_REALTIME) / second;
  if (out != nullptr)
    *out = now;
  return now;
}

} // extern "C"
