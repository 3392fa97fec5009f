// Snippets of which each has to be refused by the compiler, and their neighbours that must not be.
// One is chosen by a definition; see CMakeLists.txt. Never linked.
#include "launcher/blocking_session.hpp"
#include "launcher/copy.hpp"

using namespace troupe;

#if defined AWAITS_ADD
pending<void> snippet(session& work) {
  co_await work.add({.kind = "k"});
}
#elif defined AWAITS_REMOVE
pending<void> snippet(session& work) {
  co_await work.remove(job_id{1});
}
#elif defined WAITS_FOR_REMOVE
void snippet(session& work) {
  work.remove(job_id{1}).get();
}
#elif defined DROPS_COMMIT
void snippet(session& work) {
  work.commit();
}
#elif defined DROPS_FLUSH
void snippet(session& work) {
  work.flush();
}
#elif defined DROPS_QUERY
void snippet(session& work) {
  work.query("select 1");
}
#elif defined DROPS_ROLLBACK
pending<void> snippet(session& work) {
  work.rollback();
  co_return;
}
#elif defined WAITS_TWICE
void snippet(session& work) {
  auto end = work.rollback();
  end.get();
}
#elif defined COPIES
session snippet(const session& work) {
  return work;
}
#elif defined READS_NOTHING
void snippet(const rows& some) {
  some.one<>();
}
#elif defined DROPS_PUT
void snippet(copy_writer& writer) {
  writer.put("row\n");
}
#elif defined DROPS_FINISH
void snippet(copy_writer& writer) {
  writer.finish();
}
#elif defined DROPS_WRITER
void snippet(session& work) {
  work.copy_in("copy t from stdin");
}
#elif defined BLOCKS
void snippet(session_source& from) {
  blocking_session work{from};
}
#elif defined CONTROL
pending<void> snippet(session& work) {
  work.add({.kind = "k"});
  work.remove(job_id{1});
  co_await work.savepoint("a");
  const auto found = co_await work.query("select $1", std::int64_t{1});
  static_cast<void>(found.one<std::int64_t>());
  work.release("a").ignore();
  auto writer = work.copy_in("copy t from stdin");
  co_await writer.put("row\n");
  const std::int64_t stored = co_await writer.finish();
  auto reader = work.copy_out("copy (select $1) to stdout", stored);
  while (const auto some = co_await reader.next())
    static_cast<void>(some->size());
  work.flush().then([](const auto&) {});
  static_cast<void>(co_await work.commit());
}
void snippet_that_waits(session& work) {
  auto end = work.rollback();
  std::move(end).get();
  static_cast<void>(work.commit().get());
}
#else
#error "no snippet is chosen"
#endif
