// scrape: an engine in this process, one crawl, one export, one summary. A crawl that was cut off
// (Ctrl-C, kill -9, power) is still in the database with everything it found; the same command
// finds it there and goes on.
#include "cli/commands.hpp"
#include "cli/crawl_report.hpp"
#include "cli/output_file.hpp"
#include "cli/progress_bar.hpp"
#include "cli/progress_display.hpp"
#include "cli/signals.hpp"
#include "launcher/engine.hpp"
#include "launcher/log.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <optional>

namespace troupe::cli {

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

constexpr auto job_interval = 30ms; ///< between two looks at the job
/// What pages under way get at an interruption; the others wait in the database.
constexpr auto scrape_grace = 2000ms;
constexpr int items_at_once = 1000;
constexpr int export_attempts = 3;

/// Thrown when a signal or --timeout ends the wait; the crawl stays in the database.
struct cut_off {
  exit_code code;
};

class scrape_run {
public:
  explicit scrape_run(const invocation& wanted)
      : wanted_(wanted), engine_(options_of(wanted, display_)) {}

  exit_code run();

private:
  static engine_options options_of(const invocation& wanted, progress_display& display);
  void find_or_enqueue();
  std::optional<job_record> find_interrupted(const std::string& args);
  void go_on_with(const job_record& job);
  job_record follow(job_id id, bool show_progress);
  void show_progress(const job_record& job);
  void look_at_progress();
  void summarise();
  void export_items();
  exit_code report(const job_record& crawl);
  std::string why_nothing(const job_record& crawl) const;

  const invocation& wanted_;
  signal_watch signals_; // before the engine, whose threads inherit the mask
  progress_display display_;
  engine engine_;
  job_id crawl_;
  steady::time_point began_;
  crawl_progress progress_;
  std::int64_t done_before_ = 0; ///< pages that an earlier run had done
  int attempt_before_ = -1;      ///< the attempt that an ended program held; -1: none
  crawl_summary summary_;
  std::string first_error_;
};

engine_options scrape_run::options_of(const invocation& wanted, progress_display& display) {
  auto options = wanted.engine;
  options.grace = scrape_grace;
  options.progress = [&display](std::string_view line) { display.say(std::string{line}); };
  return options;
}

std::optional<job_record> scrape_run::find_interrupted(const std::string& args) {
  for (const auto state :
       {job_state::running, job_state::available, job_state::retryable, job_state::scheduled}) {
    job_id before{};
    while (true) {
      auto page = engine_.list({state, std::nullopt, "scrape"}, before,
                               static_cast<int>(limits::page_size));
      for (auto& job : page.jobs)
        if (same_args(job.args, args))
          return std::move(job);
      if (!page.next)
        break;
      before = *page.next;
    }
  }
  return std::nullopt;
}

void scrape_run::go_on_with(const job_record& job) {
  crawl_ = job.id;
  display_.say("continuing crawl " + std::to_string(crawl_.value));
  if (job.state == job_state::running) {
    attempt_before_ = job.attempt;
    display_.say("the program that ran it may have ended without taking leave; its lease runs out "
                 "within some 4 seconds");
  } else if (job.state != job_state::available) {
    try {
      engine_.retry(crawl_); // not after its backoff: somebody is waiting
    } catch (const engine_error& e) {
      if (e.code() != errc::conflict) // it became available meanwhile
        throw;
    }
  }
}

void scrape_run::find_or_enqueue() {
  const auto args = scrape_args(wanted_.scrape);
  if (const auto found = find_interrupted(args)) {
    go_on_with(*found);
    look_at_progress();
    done_before_ = progress_.fetched + progress_.failed;
  } else {
    job_spec job;
    job.kind = "scrape";
    job.args = args;
    crawl_ = engine_.enqueue(std::move(job));
  }
}

void scrape_run::look_at_progress() {
  try {
    progress_ = engine_.crawl(crawl_);
  } catch (const engine_error& e) {
    if (e.code() != errc::not_found) // its first run has not opened it yet
      throw;
  }
}

void scrape_run::show_progress(const job_record& job) {
  if (job.state == job_state::running && job.attempt == attempt_before_)
    return display_.say("waiting until the ended program's lease runs out");
  look_at_progress();
  const auto seconds = std::chrono::duration<double>(steady::now() - began_).count();
  const auto done = progress_.fetched + progress_.failed;
  const crawl_view view{progress_.pages,  progress_.fetched,
                        progress_.failed, progress_.bytes,
                        seconds,          static_cast<double>(done - done_before_) / seconds};
  display_.show([&](int width) { return bar_line(view, width); },
                [&] { return "crawl " + std::to_string(crawl_.value) + ": " + plain_line(view); });
}

/// Waits for the job's end. A database that is away for a while is waited for as well.
job_record scrape_run::follow(job_id id, bool with_progress) {
  auto next_look = steady::now() + display_.interval();
  bool away = false;
  while (true) {
    try {
      auto job = engine_.get(id);
      if (is_final(job.state))
        return job;
      if (const auto now = steady::now(); with_progress && now >= next_look) {
        show_progress(job);
        next_look = now + display_.interval();
      }
      away = false;
    } catch (const engine_error& e) {
      if (exit_code_of(e.code()) != exit_code::unavailable && e.code() != errc::timed_out)
        throw;
      if (!away)
        display_.say(std::string{"waiting for the database: "} + e.what());
      away = true;
    }
    if (signals_.wait_for(job_interval))
      throw cut_off{exit_code::interrupted};
    const auto& limit = wanted_.scrape.limit;
    if (limit && steady::now() - began_ > std::chrono::duration<double>(*limit))
      throw cut_off{exit_code::timed_out};
  }
}

void scrape_run::summarise() {
  summary_.seconds = std::chrono::duration<double>(steady::now() - began_).count();
  look_at_progress();
  summary_.job = crawl_;
  summary_.url = wanted_.scrape.url;
  summary_.pages = progress_.pages;
  summary_.items = progress_.fetched + progress_.failed;
  summary_.failed = progress_.failed;
  summary_.bytes = progress_.bytes;
  if (summary_.seconds > 0)
    summary_.rate = static_cast<double>(summary_.items - done_before_) / summary_.seconds;
  if (progress_.failed == 0)
    return;
  for (job_id after{};;) {
    const auto items = engine_.items(crawl_, after, items_at_once);
    if (items.empty())
      return;
    for (const auto& item : items)
      if (!item.error.empty()) {
        count_failure(summary_.failures, item.error);
        if (first_error_.empty())
          first_error_ = item.error;
      }
    after = items.back().page;
  }
}

void scrape_run::export_items() {
  job_spec job;
  job.kind = "export";
  job.args = export_args(crawl_, wanted_.scrape.out);
  job.max_attempts = export_attempts;
  const auto ended = follow(engine_.enqueue(std::move(job)), false);
  const auto last = ended.attempts.empty() ? attempt_record{} : ended.attempts.back();
  const auto result = nlohmann::json::parse(last.result, nullptr, false);
  if (ended.state != job_state::completed || !result.is_object())
    throw command_error(exit_code::failed, "the rows could not be exported: " + last.error
                                               + "; the crawl is done, see 'troupe jobs get "
                                               + std::to_string(ended.id.value) + "'");
  const std::filesystem::path made = result.value("path", "");
  replace_output(made, wanted_.scrape.out);
  std::error_code ignored; // a copy that stays behind costs disk space only
  std::filesystem::remove(made, ignored);
  summary_.out = wanted_.scrape.out;
}

std::string scrape_run::why_nothing(const job_record& crawl) const {
  std::string why = "the crawl gave nothing";
  if (crawl.state != job_state::completed)
    why = "the crawl was " + std::string{to_string(crawl.state)};
  if (!first_error_.empty())
    why += ": " + first_error_;
  else if (!crawl.attempts.empty() && !crawl.attempts.back().error.empty())
    why += ": " + crawl.attempts.back().error;
  if (first_error_.starts_with("refused") && !wanted_.engine.allow_private)
    why += "; --allow-private lets a crawl reach such addresses";
  return why;
}

exit_code scrape_run::report(const job_record& crawl) {
  summarise();
  const bool good = crawl.state == job_state::completed && progress_.fetched > 0;
  if (good && !wanted_.scrape.out.empty())
    export_items();
  display_.clear();
  if (good || wanted_.json)
    print(wanted_.json ? summary_json(summary_) + "\n" : summary_text(summary_));
  if (good)
    return exit_code::ok;
  display_.say(why_nothing(crawl));
  return exit_code::failed;
}

exit_code scrape_run::run() {
  engine_.start();
  auto code = exit_code::ok;
  try {
    began_ = steady::now();
    find_or_enqueue();
    code = report(follow(crawl_, true));
  } catch (const cut_off& why) {
    code = why.code;
    display_.say(std::string{why.code == exit_code::timed_out ? "the time is over" : "interrupted"}
                 + "; crawl " + std::to_string(crawl_.value)
                 + " stays as it is: the same command continues it");
  }
  engine_.stop();
  return code;
}

} // namespace

exit_code run_scrape(const invocation& wanted) {
  if (const auto fault = url_fault(wanted.scrape.url); !fault.empty())
    throw command_error(exit_code::usage, fault);
  if (!wanted.scrape.out.empty())
    prepare_output(wanted.scrape.out);
  log::install({wanted.log_level.value_or(log::level::warn), wanted.log_format});
  return scrape_run(wanted).run();
}

} // namespace troupe::cli
