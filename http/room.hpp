// How many bytes the connections of one server hold together: of bodies that are being read or
// worked on, and of answers that are not written yet. What each connection has anyway is not
// counted: 4 KiB of a body, 64 KiB of an answer, of a stream one piece, and its undecoded bytes.
// Bytes are taken on the loop's thread only, so what fits does so until they are there; given back
// they are on any: who drops a connection last may be an actor that answered it.
#pragma once

#include "http/message.hpp"

#include <atomic>
#include <cstddef>

namespace troupe::http {

class room {
public:
  explicit room(std::size_t most) : most_(most) {}
  /// A part of another one, which outlives it: what is held here is held there as well.
  room(std::size_t most, room& within) : most_(most), within_(&within) {}
  std::size_t held() const { return held_.load(std::memory_order_relaxed); }
  bool fits(std::size_t more) const {
    const auto now = held();
    return now < most_ && more <= most_ - now && (within_ == nullptr || within_->fits(more));
  }

private:
  friend class room_share;
  void change(std::size_t from, std::size_t to) {
    if (to > from)
      held_.fetch_add(to - from, std::memory_order_relaxed);
    else if (to < from)
      held_.fetch_sub(from - to, std::memory_order_relaxed);
    if (within_ != nullptr)
      within_->change(from, to);
  }

  std::size_t most_;
  room* within_ = nullptr;
  std::atomic<std::size_t> held_{0};
};

/// What one connection holds of it; the room has to outlive it.
class room_share {
public:
  explicit room_share(room& of) : of_(of) {}
  room_share(const room_share&) = delete;
  room_share& operator=(const room_share&) = delete;
  ~room_share() { hold(0); }

  /// From now on so many bytes. False when more than before do not fit; then nothing changes.
  bool take(std::size_t bytes) {
    if (bytes > bytes_ && !of_.fits(bytes - bytes_))
      return false;
    hold(bytes);
    return true;
  }
  /// The same, whether they fit or not.
  void hold(std::size_t bytes) {
    of_.change(bytes_, bytes);
    bytes_ = bytes;
  }

private:
  room& of_;
  std::size_t bytes_ = 0;
};

/// 503: there is no room for this body, or this answer.
response no_room();

} // namespace troupe::http
