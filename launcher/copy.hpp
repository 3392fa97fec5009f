// COPY through a session, inside its transaction. Back-pressure both ways: rows are read when they
// are asked for, bytes put are answered when there is room for more. While one is open the session
// takes marks, and nothing else but rollback() and rollback_to(), which cancel it. Its statement is
// the caller's own. How long the server may be silent is db::query::timeout(), and a transaction's
// times hold (session_options). Bounds: 64 steps and 16 MiB that were not awaited; beyond them
// errc::overloaded, and the COPY is cancelled.
#pragma once

#include "launcher/session.hpp"

#include <cstdint>
#include <optional>

namespace troupe {

/// What a reader and a writer share: one COPY of a session, ended when it goes.
class copy_end {
public:
  copy_end(copy_end&&) noexcept = default;
  copy_end& operator=(copy_end&&) = delete;

protected:
  struct fate;

  copy_end(std::shared_ptr<session::core> in, db::query what, bool inwards);
  ~copy_end();

  template<class T, class Read>
  pending<T> step(db::copy_step::kind what, std::string bytes, Read read);
  void cancel(std::function<void()> done);
  void close() { closed_ = true; }

private:
  friend class session;
  std::shared_ptr<session::core> core_;
  std::shared_ptr<fate> fate_;
  std::uint64_t number_ = 0;
  bool closed_ = false;
};

/// Destroyed before the end, it has the rest read and dropped, for 2 s; then the transaction is
/// lost.
class [[nodiscard("rows are read with next()")]] copy_reader : private copy_end {
public:
  /// Whole rows as COPY writes them, 64 KiB or one larger row, and fewer when no more has come;
  /// nothing after the last. What was read before an error is to be thrown away.
  pending<std::optional<std::string>> next();

private:
  friend class session;
  using copy_end::copy_end;
};

/// Destroyed before finish(), it cancels: nothing of the COPY is kept.
class [[nodiscard("bytes are put, and finish() keeps them")]] copy_writer : private copy_end {
public:
  /// Rows as COPY reads them, cut anywhere; answered when there is room for more. A row that cannot
  /// be stored is told by finish().
  pending<void> put(std::string bytes);
  /// The number of rows stored.
  pending<std::int64_t> finish();
  /// An error like any other: undoes the savepoint it is in, or aborts the transaction.
  pending<void> cancel();

private:
  friend class session;
  using copy_end::copy_end;
};

template<class... Args>
copy_reader session::copy_out(const std::string& sql, const Args&... args) {
  return copy_out(db::make_query(sql, args...));
}
template<class... Args>
copy_writer session::copy_in(const std::string& sql, const Args&... args) {
  return copy_in(db::make_query(sql, args...));
}

} // namespace troupe
