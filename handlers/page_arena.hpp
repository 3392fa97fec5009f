// libxml2's memory while one page is parsed: a bump allocator per thread, emptied after each page.
// A third of a parse goes to malloc without it. libxml2 has one set of hooks per process, so memory
// asked for outside a page_arena::scope comes from malloc, and frees are told apart by address.
#pragma once

#include <cstddef>

namespace troupe::page_arena {

/// One page may take this much; then libxml2 is told that memory is out and the parse fails.
constexpr std::size_t page_limit = 128UL * 1024 * 1024;
/// What a thread keeps between pages.
constexpr std::size_t first_chunk = 1024UL * 1024;

/// Puts the hooks in. Call before the process's first use of libxml2; once, from one thread.
void install();

/// Turns the arena off or on for scopes made later (benchmarks, tests). It is off, whatever is
/// asked, under AddressSanitizer, so that the sanitizer sees libxml2's memory.
void enable(bool on);

/// While one lives, libxml2's allocations of this thread come from the arena. Not nestable. What
/// was allocated inside is gone afterwards, freed or not; libxml2's last error is reset for that
/// reason.
class scope {
public:
  scope();
  ~scope();
  scope(const scope&) = delete;
  scope& operator=(const scope&) = delete;
  /// False when the arena is off: then what libxml2 made must be freed as usual.
  bool active() const { return active_; }

private:
  bool active_;
};

/// While one lives inside a scope, this thread's allocations come from malloc again: for work that
/// gives back what it takes, over and over (XPath), which a bump allocator would only pile up.
class pause {
public:
  pause();
  ~pause();
  pause(const pause&) = delete;
  pause& operator=(const pause&) = delete;

private:
  bool was_open_;
};

} // namespace troupe::page_arena
