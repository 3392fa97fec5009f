// The yardstick of bench/database: bare libpq in pipeline mode, one thread, no actors. Statements
// are independent, so each has a sync of its own, as POOL's have; a transaction is one burst with
// one sync, and a connection runs one transaction at a time. Prints one JSON object.
// Usage: troupe_bench_database_bare --url URL --mode statements|transactions
//          [--count N] [--connections N] [--window N] [--per-sync N]
// --per-sync: so many statements share a sync, and with it one transaction and one error.
#include <libpq-fe.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <endian.h>
#include <map>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

struct link {
  PGconn* raw = nullptr;
  int in_flight = 0; ///< statements, or transactions
  int unsynced = 0;
  std::deque<int> syncs; ///< how much each outstanding one concludes
};

void check(bool good, PGconn* raw) {
  if (!good)
    throw std::runtime_error(PQerrorMessage(raw));
}

constexpr unsigned int8_type = 20;
constexpr unsigned text_type = 25;

void prepare(PGconn* raw, const char* name, const char* text, unsigned type) {
  PGresult* done = PQprepare(raw, name, text, type == 0 ? 0 : 1, type == 0 ? nullptr : &type);
  check(PQresultStatus(done) == PGRES_COMMAND_OK, raw);
  PQclear(done);
}

link connect(const std::string& url) {
  link one;
  one.raw = PQconnectdb(url.c_str());
  check(PQstatus(one.raw) == CONNECTION_OK, one.raw);
  prepare(one.raw, "read", "select id, note from bench_row where id = $1", int8_type);
  prepare(one.raw, "begin", "begin", 0);
  prepare(one.raw, "insert", "insert into bench_made (note) values ($1) returning id", text_type);
  prepare(one.raw, "savepoint", "savepoint s1", 0);
  prepare(one.raw, "release", "release savepoint s1", 0);
  prepare(one.raw, "commit", "commit", 0);
  check(PQsetnonblocking(one.raw, 1) == 0 && PQenterPipelineMode(one.raw) == 1, one.raw);
  return one;
}

void send_read(link& to, std::int64_t id) {
  const std::uint64_t wire = htobe64(static_cast<std::uint64_t>(id));
  char bytes[sizeof wire];
  std::memcpy(bytes, &wire, sizeof wire);
  const char* values[] = {bytes};
  const int lengths[] = {sizeof wire};
  const int formats[] = {1};
  check(PQsendQueryPrepared(to.raw, "read", 1, values, lengths, formats, 1) == 1, to.raw);
  ++to.in_flight;
  ++to.unsynced;
}

void sync(link& to) {
  if (to.unsynced == 0)
    return;
  check(PQpipelineSync(to.raw) == 1, to.raw);
  to.syncs.push_back(std::exchange(to.unsynced, 0));
}

void send_bare(link& to, const char* name) {
  check(PQsendQueryPrepared(to.raw, name, 0, nullptr, nullptr, nullptr, 1) == 1, to.raw);
}

void send_transaction(link& to) {
  const char* values[] = {"a note of some length"};
  const int lengths[] = {21};
  const int formats[] = {1};
  send_bare(to, "begin");
  check(PQsendQueryPrepared(to.raw, "insert", 1, values, lengths, formats, 1) == 1, to.raw);
  send_bare(to, "savepoint");
  send_bare(to, "release");
  send_bare(to, "commit");
  ++to.in_flight;
  ++to.unsynced;
}

/// What was concluded; every row is looked at.
int collect(link& from) {
  check(PQconsumeInput(from.raw) == 1, from.raw);
  int concluded = 0;
  while (from.in_flight > 0 && PQisBusy(from.raw) == 0) {
    PGresult* got = PQgetResult(from.raw);
    if (got == nullptr)
      continue;
    const auto status = PQresultStatus(got);
    check(status != PGRES_FATAL_ERROR && status != PGRES_PIPELINE_ABORTED, from.raw);
    if (status == PGRES_TUPLES_OK && PQntuples(got) != 1)
      throw std::runtime_error("a statement gave no row");
    if (status == PGRES_PIPELINE_SYNC) {
      concluded += from.syncs.front();
      from.in_flight -= from.syncs.front();
      from.syncs.pop_front();
    }
    PQclear(got);
  }
  return concluded;
}

} // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> flags = {
      {"--count", "200000"}, {"--connections", "1"}, {"--window", "64"}, {"--mode", "statements"}};
  for (int i = 1; i + 1 < argc; i += 2)
    flags[argv[i]] = argv[i + 1];
  const bool transactions = flags["--mode"] == "transactions";
  const int count = std::atoi(flags["--count"].c_str());
  const int window = transactions ? 1 : std::atoi(flags["--window"].c_str());
  const int per_sync = transactions ? 1 : std::atoi(flags["--per-sync"].c_str());
  try {
    std::vector<link> links;
    std::vector<pollfd> ready;
    for (int i = 0; i < std::atoi(flags["--connections"].c_str()); ++i) {
      links.push_back(connect(flags["--url"]));
      ready.push_back({PQsocket(links.back().raw), POLLIN, 0});
    }
    int sent = 0;
    int answered = 0;
    const auto begun = clock_type::now();
    while (answered < count) {
      for (auto& to : links) {
        const bool any = to.in_flight < window && sent < count;
        while (to.in_flight < window && sent < count) {
          if (transactions)
            send_transaction(to);
          else
            send_read(to, 1 + sent % 1000);
          ++sent;
          if (to.unsynced == per_sync)
            sync(to);
        }
        sync(to);
        if (any)
          check(PQflush(to.raw) == 0, to.raw);
      }
      if (poll(ready.data(), ready.size(), 10'000) <= 0)
        throw std::runtime_error("no answer for 10 s");
      for (std::size_t i = 0; i < links.size(); ++i)
        if (ready[i].revents != 0)
          answered += collect(links[i]);
    }
    const double seconds = std::chrono::duration<double>(clock_type::now() - begun).count();
    std::printf("{\"per_second\": %.0f, \"count\": %d}\n", count / seconds, count);
    for (auto& one : links)
      PQfinish(one.raw);
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "database_bare: %s\n", e.what());
    return 1;
  }
}
