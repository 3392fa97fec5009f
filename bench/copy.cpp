// The engine's side of bench/copy: rows out and in through a session's COPY, and rows of a stream.
// Prints one JSON object: seconds, and how much the memory's peak grew.
// Usage: troupe_bench_copy --url URL --mode out|stream|in --sql TEXT [--file FILE]
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

} // namespace

int main(int argc, char** argv) {
  flag_map flags = {{"--file", "/dev/null"}};
  for (int i = 1; i + 1 < argc; i += 2)
    flags[argv[i]] = argv[i + 1];
  const std::map<std::string, void (*)(troupe::session&, const flag_map&)> modes = {
      {"out", copy_out}, {"stream", stream}, {"in", copy_in}};
  const auto mode = modes.find(flags["--mode"]);
  if (flags.count("--url") == 0 || flags.count("--sql") == 0 || mode == modes.end()) {
    std::cerr << "usage: troupe_bench_copy --url URL --mode MODE --sql TEXT [--file FILE]\n";
    return 2;
  }
  try {
    troupe::log::install({});
    troupe::engine_options options;
    options.database_url = flags["--url"];
    troupe::engine node{options};
    node.start();
    const auto before = peak_kib();
    const auto begun = std::chrono::steady_clock::now();
    auto work = node.open_session();
    mode->second(work, flags);
    static_cast<void>(work.commit().get());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    std::printf("{\"mode\":\"%s\",\"seconds\":%.4f,\"grown_kib\":%zu}\n", mode->first.c_str(),
                took.count(), peak_kib() - before);
    return node.stop() ? 0 : 1;
  } catch (const std::exception& e) {
    std::cerr << "troupe_bench_copy: " << e.what() << '\n';
    return 1;
  }
}
