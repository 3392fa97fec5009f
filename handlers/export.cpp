#include "handlers/export.hpp"

#include "handlers/args.hpp"
#include "handlers/csv.hpp"
#include "handlers/part_file.hpp"
#include "handlers/text.hpp"

#include <array>
#include <cstdio>
#include <future>
#include <stdexcept>
#include <system_error>

namespace troupe {

namespace {

/// Ends the attempt with this text; caught by run_export.
struct export_failed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Calls the port, which answers every call exactly once.
template<class T, class Call>
std::future<result_or<T>> ask(Call call) {
  auto answer = std::make_shared<std::promise<result_or<T>>>();
  auto future = answer->get_future();
  call([answer](result_or<T> value) { answer->set_value(std::move(value)); });
  return future;
}

/// Waits: this is a worker thread.
template<class T>
T await(std::future<result_or<T>> answer) {
  auto value = answer.get();
  if (const auto* why = std::get_if<failure>(&value))
    throw export_failed(to_string(why->code) + ": " + why->detail);
  return std::get<T>(std::move(value));
}

void append_member(std::string& out, std::string_view name, std::string_view raw_value) {
  out += out.back() == '{' ? "" : ",";
  append_json_string(out, name);
  out += ':';
  out += raw_value;
}

void append_text(std::string& out, std::string_view name, std::string_view text) {
  append_member(out, name, "");
  append_json_string(out, text);
}

void append_number(std::string& out, std::string_view name, std::int64_t value) {
  append_member(out, name, std::to_string(value));
}

void item_line(std::string& out, const item_record& item) {
  std::string line = "{";
  append_text(line, "page", std::to_string(item.page.value));
  append_text(line, "url", item.url);
  append_number(line, "status", item.status);
  append_text(line, "title", item.title);
  append_number(line, "headings", item.headings);
  append_number(line, "links", item.links);
  append_number(line, "bytes", item.bytes);
  append_text(line, "fetched_at", rfc3339(item.fetched_at));
  append_member(line, "fields", item.fields.empty() ? "null" : item.fields);
  if (item.error.empty())
    append_member(line, "error", "null");
  else
    append_text(line, "error", item.error);
  out += line + "}\n";
}

void item_row(std::string& out, const item_record& item, const std::vector<selector>& selectors) {
  csv_row row(out);
  row.field(item.url).field(item.status).field(item.title).field(item.headings).field(item.links);
  row.field(item.bytes).field(rfc3339(item.fetched_at));
  if (!selectors.empty())
    for (const auto& value : field_values(item.fields, selectors))
      row.field(value);
  row.end();
}

std::string tags_json(const job_record& job) {
  std::string tags = "[";
  for (const auto& tag : job.tags) {
    if (tags.size() > 1)
      tags += ',';
    append_json_string(tags, tag);
  }
  return tags + "]";
}

void job_line(std::string& out, const job_record& job) {
  std::string line = "{";
  append_text(line, "id", std::to_string(job.id.value));
  append_text(line, "queue", job.queue);
  append_text(line, "kind", job.kind);
  append_text(line, "state", to_string(job.state));
  append_number(line, "priority", job.priority);
  append_number(line, "attempt", job.attempt);
  append_number(line, "max_attempts", job.max_attempts);
  append_text(line, "run_at", rfc3339(job.run_at));
  append_text(line, "created_at", rfc3339(job.created_at));
  append_member(line, "tags", tags_json(job));
  append_member(line, "args", job.args.empty() ? "null" : job.args);
  out += line + "}\n";
}

void job_row(std::string& out, const job_record& job) {
  csv_row row(out);
  row.field(job.id.value).field(job.queue).field(job.kind).field(to_string(job.state));
  row.field(job.priority).field(job.attempt).field(job.max_attempts);
  row.field(rfc3339(job.run_at)).field(rfc3339(job.created_at));
  row.field(tags_json(job)).field(job.args).end();
}

using item_list = std::vector<item_record>;

class exporting {
public:
  exporting(crawl_port& port, const export_options& options, const job_run& run,
            const export_args& args)
      : port_(port), options_(options), run_(run), args_(args),
        csv_(args.format == export_args::file_format::csv),
        path_(options.folder / (std::to_string(run.id.value) + (csv_ ? ".csv" : ".ndjson"))),
        file_(path_) {}

  job_result run() {
    if (args_.what == export_args::subject::items)
      items();
    else
      jobs();
    file_.finish();
    std::string result = "{";
    append_text(result, "path", path_.string());
    append_number(result, "rows", rows_);
    append_number(result, "bytes", static_cast<std::int64_t>(file_.bytes()));
    return completed(result + "}");
  }

private:
  void items() {
    const auto spec = await(ask<crawl_spec>(
        [&](on_result<crawl_spec> reply) { port_.spec(args_.crawl, std::move(reply)); }));
    if (csv_) {
      csv_row header(text_);
      for (const auto* name :
           {"url", "status", "title", "headings", "links", "bytes", "fetched_at"})
        header.field(name);
      for (const auto& s : spec.selectors)
        header.field(s.name);
      header.end();
    }
    write(0);
    const auto source = port_.all_items(args_.crawl);
    const auto ask_next = [&] {
      return ask<item_list>([&](on_result<item_list> reply) { source->next(std::move(reply)); });
    };
    for (auto coming = ask_next();;) {
      const auto some = await(std::move(coming));
      if (some.empty())
        return;
      coming = ask_next(); // is read while these are written
      for (const auto& item : some)
        csv_ ? item_row(text_, item, spec.selectors) : item_line(text_, item);
      write(some.size());
    }
  }

  void jobs() {
    if (csv_) {
      csv_row header(text_);
      for (const auto* name : {"id", "queue", "kind", "state", "priority", "attempt",
                               "max_attempts", "run_at", "created_at", "tags", "args"})
        header.field(name);
      header.end();
    }
    write(0);
    for (job_id before{0};;) {
      const auto page = await(ask<job_page>([&](on_result<job_page> reply) {
        port_.jobs(args_.filter, before, options_.jobs_per_page, std::move(reply));
      }));
      for (const auto& job : page.jobs)
        csv_ ? job_row(text_, job) : job_line(text_, job);
      write(page.jobs.size());
      if (!page.next)
        return;
      before = *page.next;
    }
  }

  /// Between two pages: what was gathered goes to the file, and a stop is heard.
  void write(std::size_t rows) {
    if (run_.stop.stop_requested())
      throw export_failed("stopped after " + std::to_string(rows_) + " rows");
    file_.write(text_);
    text_.clear();
    rows_ += static_cast<std::int64_t>(rows);
  }

  crawl_port& port_;
  const export_options& options_;
  const job_run& run_;
  const export_args& args_;
  bool csv_;
  std::filesystem::path path_;
  part_file file_;
  std::string text_; ///< one page's rows
  std::int64_t rows_ = 0;
};

job_result run_export(crawl_port& port, const export_options& options, const job_run& run) {
  const auto args = read_export_args(run.args);
  if (const auto* bad = std::get_if<bad_args>(&args))
    return discarded(bad->reason);
  try {
    std::filesystem::create_directories(options.folder);
    return exporting(port, options, run, std::get<export_args>(args)).run();
  } catch (const export_failed& e) {
    return failed(e.what());
  } catch (const std::system_error& e) {
    return failed(e.code() == std::errc::no_space_on_device
                      ? std::string("the disk is full: ") + e.what()
                      : std::string(e.what()));
  }
}

} // namespace

std::string rfc3339(timestamp time) {
  using namespace std::chrono;
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss clock(time - day);
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%06dZ",
                static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<int>(clock.hours().count()),
                static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()),
                static_cast<int>(clock.subseconds().count()));
  return text.data();
}

void add_export(handler_table& kinds, worker_pool& workers, crawl_port& port,
                export_options options) {
  kinds["export"] = on_worker(workers, [&port, options = std::move(options)](const job_run& run) {
    return run_export(port, options, run);
  });
}

} // namespace troupe
