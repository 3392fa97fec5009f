// The bridge for code that is still synchronous: a session whose calls wait for their answer. It
// holds a thread while the database works, so it is deprecated from its first day: it warns when it
// is compiled, once at run time for each place that calls it, and refuses to run where a thread
// must not wait. docs/migrating.md shows the way out.
#pragma once

#include "launcher/session.hpp"

namespace troupe {

/// Where a call stands: std::source_location, which clang 14 lacks.
struct call_site {
  const char* file;
  unsigned line;
  const char* function;

  static constexpr call_site current(const char* in = __builtin_FILE(),
                                     unsigned at = __builtin_LINE(),
                                     const char* of = __builtin_FUNCTION()) {
    return {in, at, of};
  }
};

/// SQL and the place of the call it is given to, whose further arguments leave none for that.
struct placed_sql {
  template<std::convertible_to<std::string> Text>
  placed_sql(Text&& sql, const call_site& from = call_site::current()) // NOLINT: by design
      : text(std::forward<Text>(sql)), where(from) {}
  std::string text;
  call_site where;
};

namespace detail {
/// Once for each place in the source; throws engine_error on a thread that must not wait.
void note_blocking_call(const call_site& where);
} // namespace detail

class [[deprecated(
    "a blocking_session holds a thread while the database works; use "
    "troupe::session and await its answers, see docs/migrating.md")]] blocking_session {
  using source = call_site;

public:
  explicit blocking_session(session_source & from, const session_options& options = {},
                            const source& where = source::current())
      : work_((detail::note_blocking_call(where), from.open(options))) {}

  void add(job_spec job) {
    work_.add(std::move(job));
  }
  void remove(job_id id) {
    work_.remove(id);
  }

  void begin(const db::transaction_options& how = {}, const source& where = source::current()) {
    wait(work_.begin(how), where);
  }
  db::flushed_work flush(const source& where = source::current()) {
    return wait(work_.flush(), where);
  }
  db::committed_work commit(const source& where = source::current()) {
    return wait(work_.commit(), where);
  }
  void rollback(const source& where = source::current()) {
    wait(work_.rollback(), where);
  }
  void savepoint(std::string name, const source& where = source::current()) {
    wait(work_.savepoint(std::move(name)), where);
  }
  void release(std::string name, const source& where = source::current()) {
    wait(work_.release(std::move(name)), where);
  }
  void rollback_to(std::string name, const source& where = source::current()) {
    wait(work_.rollback_to(std::move(name)), where);
  }
  job_record refresh(job_id id, const source& where = source::current()) {
    return wait(work_.refresh(id), where);
  }
  rows query(db::query what, const source& where = source::current()) {
    return wait(work_.query(std::move(what)), where);
  }
  template<class... Args>
  rows query(const placed_sql& sql, const Args&... args) {
    return wait(work_.query(sql.text, args...), sql.where);
  }

private:
  template<class T>
  static T wait(pending<T> answer, const source& where) {
    try {
      detail::note_blocking_call(where);
    } catch (...) {
      std::move(answer).ignore();
      throw;
    }
    return std::move(answer).get();
  }

  session work_;
};

} // namespace troupe
