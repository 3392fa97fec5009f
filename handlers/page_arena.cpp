#include "handlers/page_arena.hpp"

#include <libxml/xmlerror.h>
#include <libxml/xmlmemory.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

namespace troupe::page_arena {

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool allowed = false;
#else
constexpr bool allowed = true;
#endif

std::atomic<bool> enabled{allowed};

/// Each block is preceded by its size: realloc needs it. Also the alignment of every block.
constexpr std::size_t header = 16;

struct chunk {
  char* begin;
  std::size_t size;
};

class arena {
public:
  arena() = default;
  arena(const arena&) = delete;
  arena& operator=(const arena&) = delete;
  ~arena() {
    for (const auto& c : chunks_)
      std::free(c.begin);
  }

  bool owns(const void* pointer) const {
    const auto address = reinterpret_cast<std::uintptr_t>(pointer);
    return std::any_of(chunks_.begin(), chunks_.end(), [address](const chunk& c) {
      const auto begin = reinterpret_cast<std::uintptr_t>(c.begin);
      return address - begin < c.size;
    });
  }

  void* allocate(std::size_t size) {
    const auto step = header + ((size + header - 1) & ~(header - 1));
    if (step < size || (static_cast<std::size_t>(end_ - next_) < step && !grow(step)))
      return nullptr;
    char* block = next_ + header;
    std::memcpy(next_, &size, sizeof size);
    next_ += step;
    return block;
  }

  void* reallocate(void* old, std::size_t size) {
    char* block = static_cast<char*>(old);
    const auto before = size_of(block);
    const auto step = (size + header - 1) & ~(header - 1);
    if (is_last(block, before) && step >= size && step <= static_cast<std::size_t>(end_ - block)) {
      std::memcpy(block - header, &size, sizeof size);
      next_ = block + step;
      return block;
    }
    void* moved = allocate(size);
    if (moved != nullptr)
      std::memcpy(moved, old, std::min(before, size));
    return moved;
  }

  /// Only the newest block can be given back; libxml2's attribute buffers come and go that way.
  void release(void* old) {
    char* block = static_cast<char*>(old);
    if (is_last(block, size_of(block)))
      next_ = block - header;
  }

  void reset() {
    while (chunks_.size() > 1) {
      std::free(chunks_.back().begin);
      chunks_.pop_back();
    }
    if (chunks_.empty())
      return;
    total_ = chunks_.front().size;
    next_ = chunks_.front().begin;
    end_ = next_ + total_;
  }

  bool open = false;

private:
  static std::size_t size_of(const char* block) {
    std::size_t size = 0;
    std::memcpy(&size, block - header, sizeof size);
    return size;
  }

  bool is_last(const char* block, std::size_t size) const {
    return block + ((size + header - 1) & ~(header - 1)) == next_;
  }

  bool grow(std::size_t step) {
    const auto size = std::max({first_chunk, total_, step});
    if (size > page_limit || total_ + size > page_limit)
      return false;
    auto* begin = static_cast<char*>(std::malloc(size));
    if (begin == nullptr)
      return false;
    chunks_.push_back({begin, size});
    total_ += size;
    next_ = begin;
    end_ = begin + size;
    return true;
  }

  std::vector<chunk> chunks_;
  char* next_ = nullptr;
  char* end_ = nullptr;
  std::size_t total_ = 0;
};

/// This thread's arena; null before its first page and once the thread ends, when libxml2 memory
/// that other thread-local objects hold may still have to be freed.
constinit thread_local arena* mine = nullptr;

arena& my_arena() {
  struct owner {
    owner() { mine = new arena; }
    ~owner() { delete std::exchange(mine, nullptr); }
    owner(const owner&) = delete;
    owner& operator=(const owner&) = delete;
  };
  thread_local const owner own;
  static_cast<void>(own);
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDelete): own lives as long as the thread
  return *mine;
}

void* hook_malloc(std::size_t size) {
  return mine != nullptr && mine->open ? mine->allocate(size) : std::malloc(size);
}

void hook_free(void* pointer) {
  if (pointer == nullptr)
    return;
  if (mine == nullptr || !mine->owns(pointer))
    std::free(pointer);
  else if (mine->open)
    mine->release(pointer);
}

void* hook_realloc(void* pointer, std::size_t size) {
  if (pointer == nullptr)
    return hook_malloc(size);
  return mine != nullptr && mine->owns(pointer) ? mine->reallocate(pointer, size)
                                                : std::realloc(pointer, size);
}

char* hook_strdup(const char* text) {
  const auto size = std::strlen(text) + 1;
  auto* copy = static_cast<char*>(hook_malloc(size));
  if (copy != nullptr)
    std::memcpy(copy, text, size);
  return copy;
}

} // namespace

void install() {
  if (allowed)
    xmlMemSetup(hook_free, hook_malloc, hook_realloc, hook_strdup);
}

void enable(bool on) {
  enabled.store(on && allowed);
}

scope::scope() : active_(enabled.load(std::memory_order_relaxed)) {
  if (active_)
    my_arena().open = true;
}

scope::~scope() {
  if (!active_)
    return;
  xmlResetLastError();
  mine->open = false;
  mine->reset();
}

pause::pause() : was_open_(mine != nullptr && std::exchange(mine->open, false)) {}
pause::~pause() {
  if (was_open_)
    mine->open = true;
}

} // namespace troupe::page_arena
