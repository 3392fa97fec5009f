#include "handlers/trouble.hpp"

#include "handlers/args.hpp"

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>

namespace troupe {

namespace {

constexpr std::size_t huge = 10UL * 1024 * 1024;

/// How each goes wrong on the thread that starts it.
using answer = std::function<void(const completion&)>;
const std::map<std::string, answer, std::less<>>& answers() {
  static const std::map<std::string, answer, std::less<>> all{
      {"throw", [](const completion&) { throw std::runtime_error("thrown as asked"); }},
      {"throw_other", [](const completion&) { throw 42; }}, // NOLINT(hicpp-exception-baseclass)
      {"silent", [](const completion&) {}},
      {"twice",
       [](const completion& done) {
         done(completed("1"));
         done(failed("the second answer"));
       }},
      {"huge", [](const completion& done) { done(completed('"' + std::string(huge, 'x') + '"')); }},
      {"huge_error", [](const completion& done) { done(failed(std::string(huge, 'x'))); }},
      {"nul", [](const completion& done) { done(completed(std::string("\"a\0b\"", 5))); }},
      {"nul_escape", [](const completion& done) { done(completed("\"a\\u0000b\"")); }},
      {"nul_error", [](const completion& done) { done(failed(std::string("a\0b", 3))); }},
      {"utf8", [](const completion& done) { done(completed("\"\xff\xc0\"")); }},
      {"utf8_error", [](const completion& done) { done(failed("\xff\xc0\xed\xa0\x80")); }},
      {"not_json", [](const completion& done) { done(completed("{")); }},
      {"deep",
       [](const completion& done) {
         done(completed(std::string(100'000, '[') + std::string(100'000, ']')));
       }},
      {"negative_snooze",
       [](const completion& done) { done(snoozed(std::chrono::milliseconds{-1'000'000})); }},
  };
  return all;
}

void block(std::chrono::milliseconds time) {
  std::mutex nobody;
  std::condition_variable never;
  std::unique_lock lock(nobody);
  never.wait_for(lock, time, [] { return false; });
}

void spin(std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
  }
}

} // namespace

async_handler make_trouble(worker_pool& workers) {
  const auto hold = [&workers](void (*how)(std::chrono::milliseconds)) {
    return on_worker(workers, [how](const job_run& run) {
      how(std::get<trouble_args>(read_trouble_args(run.args)).time);
      return completed();
    });
  };
  return [blocked = hold(block), spun = hold(spin)](job_run_ptr run, completion done) {
    const auto args = read_trouble_args(run->args);
    if (const auto* bad = std::get_if<bad_args>(&args))
      return done(discarded(bad->reason));
    const auto& how = std::get<trouble_args>(args).how;
    if (how == "block")
      return blocked(std::move(run), std::move(done));
    if (how == "spin")
      return spun(std::move(run), std::move(done));
    const auto found = answers().find(how);
    if (found == answers().end())
      return done(discarded("how: there is no trouble of this name"));
    found->second(done);
  };
}

} // namespace troupe
