// The engine's side of bench/copy: rows out and in through a session's COPY, rows of a stream, and
// jobs in bulk. Prints one JSON object: seconds, and how much the memory's peak grew.
// Usage: troupe_bench_copy --url URL --mode out|stream|in|export|bulk|staged --file FILE
//          [--sql TEXT] [--jobs N]
#include "launcher/engine.hpp"
#include "launcher/log.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <string>

namespace {

using namespace std::chrono_literals;
using flag_map = std::map<std::string, std::string>;

std::size_t peak_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (std::size_t kib = 0; word == "VmHWM:" && status >> kib)
      return kib;
  return 0;
}

void copy_out(troupe::session& work, const flag_map& flags) {
  std::ofstream file(flags.at("--file"), std::ios::binary);
  auto reader = work.copy_out("copy (" + flags.at("--sql") + ") to stdout");
  while (auto rows = reader.next().get())
    file.write(rows->data(), static_cast<std::streamsize>(rows->size()));
}

void stream(troupe::session& work, const flag_map& flags) {
  std::ofstream file(flags.at("--file"), std::ios::binary);
  auto rows =
      work.stream(troupe::db::query{troupe::db::dynamic_statement{"rows", flags.at("--sql")}});
  for (auto batch = rows.next().get(); !batch.empty(); batch = rows.next().get())
    for (int i = 0; i < batch.size(); ++i) {
      const auto line = batch.raw()[i].get<std::string_view>(0);
      file.write(line.data(), static_cast<std::streamsize>(line.size()));
    }
}

void copy_in(troupe::session& work, const flag_map& flags) {
  std::ifstream file(flags.at("--file"), std::ios::binary);
  auto writer = work.copy_in(flags.at("--sql"));
  std::string block;
  for (;;) {
    block.resize(std::size_t{256} * 1024);
    file.read(block.data(), static_cast<std::streamsize>(block.size()));
    block.resize(static_cast<std::size_t>(file.gcount()));
    if (block.empty())
      break;
    writer.put(std::exchange(block, {})).get();
  }
  static_cast<void>(writer.finish().get());
}

void export_items(troupe::engine& node) {
  const auto id = node.enqueue({.kind = "export", .args = R"({"what":"items","crawl":"1"})"});
  const auto done = node.wait(id, 300s);
  if (done.state != troupe::job_state::completed)
    throw std::runtime_error("the export did not complete");
}

void bulk(troupe::engine& node, int jobs) {
  std::vector<troupe::job_spec> some(static_cast<std::size_t>(jobs),
                                     {.kind = "noop", .queue = "idle", .args = R"({"n":1})"});
  static_cast<void>(node.enqueue_all(std::move(some)));
}

/// What COPY would need: the rows into a table of the transaction, and the function over them.
void staged(troupe::session& work, int jobs) {
  work.query("create temp table staged (kind text, queue text, args jsonb) on commit drop")
      .ignore();
  auto writer = work.copy_in("copy staged from stdin");
  std::string rows;
  for (int i = 0; i < jobs; ++i)
    rows += "noop\tidle\t{\"n\":1}\n";
  writer.put(std::move(rows)).ignore();
  static_cast<void>(writer.finish().get());
  work.query("select troupe.enqueue_many(array_agg(kind), array_agg(queue), array_agg(args), "
             "array_agg(0::smallint)) from staged")
      .get();
}

} // namespace

int main(int argc, char** argv) {
  flag_map flags = {{"--jobs", "10000"}, {"--sql", ""}, {"--file", "/dev/null"}};
  for (int i = 1; i + 1 < argc; i += 2)
    flags[argv[i]] = argv[i + 1];
  if (flags.count("--url") == 0 || flags.count("--mode") == 0) {
    std::cerr << "usage: troupe_bench_copy --url URL --mode MODE [--file FILE] [--sql TEXT]\n";
    return 2;
  }
  try {
    troupe::log::install({});
    troupe::engine_options options;
    options.database_url = flags["--url"];
    options.data_dir = "/tmp/troupe-bench-copy";
    options.queues["idle"] = 0;
    options.test_kinds = true;
    troupe::engine node{options};
    node.start();
    const auto& mode = flags["--mode"];
    const auto jobs = std::atoi(flags["--jobs"].c_str());
    const auto before = peak_kib();
    const auto begun = std::chrono::steady_clock::now();
    auto work = node.open_session();
    if (mode == "out")
      copy_out(work, flags);
    else if (mode == "stream")
      stream(work, flags);
    else if (mode == "in")
      copy_in(work, flags);
    else if (mode == "export")
      export_items(node);
    else if (mode == "bulk")
      bulk(node, jobs);
    else
      staged(work, jobs);
    static_cast<void>(work.commit().get());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    std::printf("{\"mode\":\"%s\",\"seconds\":%.4f,\"grown_kib\":%zu}\n", mode.c_str(),
                took.count(), peak_kib() - before);
    return node.stop() ? 0 : 1;
  } catch (const std::exception& e) {
    std::cerr << "troupe_bench_copy: " << e.what() << '\n';
    return 1;
  }
}
