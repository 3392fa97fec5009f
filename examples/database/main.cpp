// The snippets of docs/database.md, each a function that runs. Give a data directory as the only
// argument, or none for the default one; DATABASE_URL replaces the private PostgreSQL.
#include "launcher/engine.hpp"

#include <cstdlib>
#include <iostream>

namespace {

using namespace troupe;
using namespace std::chrono_literals;

void make_tables(engine& node) {
  auto work = node.open_session();
  work.query("create table if not exists orders (id bigint generated always as identity primary "
             "key, item text not null unique, version bigint not null default 1)")
      .ignore();
  work.query("truncate orders restart identity").ignore();
  static_cast<void>(work.commit().get());
}

/// Marks wait, answers come: both queries and the job go out together, in one round trip.
job_id mark_and_commit(engine& node) {
  auto work = node.open_session();
  work.query("insert into orders (item) values ($1)", "pen").ignore();
  work.query("insert into orders (item) values ($1)", "ink").ignore();
  work.add({.kind = "ship", .args = R"({"items":["pen","ink"]})"});
  return work.commit().get().added.front();
}

pending<std::int64_t> place_order(session& work, std::string item) {
  const auto placed =
      co_await work.query("insert into orders (item) values ($1) returning id", item);
  const auto id = placed.one<std::int64_t>();
  work.add({.kind = "ship", .args = R"({"order":)" + std::to_string(id) + "}"});
  co_return id;
}

std::int64_t run_again(engine& node) {
  auto placed = node.run_transaction([](session& work) { return place_order(work, "book"); });
  return std::move(placed).get();
}

/// Items that are there already are passed over; the others commit together.
int import_all(session& work, const std::vector<std::string>& items) {
  int taken = 0;
  for (const auto& item : items) {
    savepoint_scope part{work, "item"};
    try {
      work.query("insert into orders (item) values ($1)", item).get();
      part.release().get();
      ++taken;
    } catch (const engine_error& e) {
      if (e.code() != errc::conflict)
        throw;
    }
  }
  return taken;
}

errc abort_and_go_on(engine& node) {
  auto work = node.open_session();
  work.query("insert into orders (item) values ('pen')").ignore(); // it is there: conflict
  auto why = errc::none;
  try {
    static_cast<void>(work.commit().get());
  } catch (const engine_error& e) {
    why = e.code();        // aborted; the sentence repeats what went wrong
    work.rollback().get(); // the session is as new
  }
  return why;
}

void rename_if_unchanged(session& work, std::int64_t id, std::int64_t version, const char* item) {
  auto change = db::make_query(
      "update orders set item = $3, version = version + 1 where id = $1 and version = $2", id,
      version, item);
  work.query(change.expect_affected(1)).get(); // errc::stale: somebody was quicker
}

std::string end_of(session& work) {
  try {
    static_cast<void>(work.commit().get());
    return "committed";
  } catch (const engine_error& e) {
    if (e.code() == errc::outcome_unknown)
      return "look it up by a key of your own before doing it again";
    throw; // nothing was committed
  }
}

job_result ship(const job_run& run) {
  auto& work = session_of(run);
  work.query("update orders set version = version + 1 where id = 1").get();
  work.add({.kind = "invoice", .args = run.args, .delay = 24h});
  return completed(); // the update, the job and this run's end commit together
}

void read_rows(session& work) {
  const auto count = work.query("select count(*) from orders").get().one<std::int64_t>();
  const auto found = work.query("select item, version from orders where id = $1", 99)
                         .get()
                         .optional<std::string, std::int64_t>();
  const auto sum = work.query("select sum(version) from orders").get().one<std::string>();
  const auto items =
      work.query("select id, item from orders order by id").get().all<std::int64_t, std::string>();
  if (count != static_cast<std::int64_t>(items.size()) || found || sum.empty())
    throw std::logic_error("rows");
}

std::int64_t sum_streamed(session& work) {
  std::int64_t sum = 0;
  auto numbers = work.stream(db::make_query("select generate_series(1, $1)", 2500LL));
  for (auto batch = numbers.next().get(); !batch.empty(); batch = numbers.next().get())
    for (const auto number : batch.all<std::int64_t>())
      sum += number;
  return sum;
}

std::vector<std::int64_t> page_through(session& work) {
  std::vector<std::int64_t> ids;
  std::string cursor; // empty: from the start
  do {
    db::page_query page{db::make_query("select id, item from orders"),
                        {{"id"}, {"item", db::column_type::text}}};
    page.where("item", db::compare::not_equal, std::string{"ink"})
        .order_by({"id"}, db::direction::descending)
        .limit(2)
        .after(cursor);
    const auto found = work.query(page.build()).get();
    for (const auto& [id, item] : found.all<std::int64_t, std::string>())
      ids.push_back(id);
    cursor = page.next(found.raw()).value_or("");
  } while (!cursor.empty());
  return ids;
}

std::int64_t copy_both_ways(session& work, std::ostream& file) {
  auto writer = work.copy_in("copy orders (item) from stdin (format csv)");
  writer.put("brush\n\"pad, ru").get(); // answered when there is room for more
  writer.put("led\"\n").get();
  const auto stored = writer.finish().get();
  auto reader = work.copy_out("copy (select item from orders where item = any ($1) order by id) "
                              "to stdout (format csv)",
                              std::vector<std::string>{"brush", "pad, ruled"});
  while (const auto rows = reader.next().get()) // read from the server when asked for
    file << *rows;
  return stored;
}

engine_options tuned() {
  engine_options options;
  options.database.max_connections = 8;
  options.database.min_connections = 2;
  options.database.acquire_timeout = 1s;
  options.database.statement_timeout = 5s;
  return options;
}

} // namespace

int main(int argc, char** argv) {
  auto options = tuned();
  if (const char* url = std::getenv("DATABASE_URL"))
    options.database_url = url;
  if (argc > 1)
    options.data_dir = argv[1];
  try {
    engine node{options};
    node.handle("ship", ship);
    node.start();
    make_tables(node);
    const auto shipped = node.wait(mark_and_commit(node), 20s);
    std::cout << "shipped: " << to_string(shipped.state) << "\nplaced: " << run_again(node);
    auto work = node.open_session();
    std::cout << "\nimported: " << import_all(work, {"pen", "cup", "ink", "tea"});
    read_rows(work);
    std::cout << "\nend: " << end_of(work) << "\naborted: " << to_string(abort_and_go_on(node));
    rename_if_unchanged(work, 2, 1, "black ink");
    std::cout << "\nsum: " << sum_streamed(work) << "\npages:";
    for (const auto id : page_through(work))
      std::cout << " " << id;
    std::cout << "\n";
    const auto copied = copy_both_ways(work, std::cout);
    std::cout << "copied: " << copied << "\n";
    work.rollback().get();
    node.stop();
  } catch (const std::exception& error) {
    std::cerr << "database: " << error.what() << "\n";
    return 1;
  }
}
