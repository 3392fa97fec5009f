// /api/v1/jobs.ndjson, .csv and .json: all jobs of a filter as one text that is made while it is
// read.
#include "http/filter_fields.hpp"
#include "http/gzip.hpp"
#include "http/route_answers.hpp"
#include "http/routes.hpp"

#include <atomic>
#include <charconv>
#include <utility>

namespace troupe::http {

namespace {

struct file_form {
  export_format format;
  operation what;
  answer_form answer;
  std::string_view pattern;
  std::string_view content_type;
  std::string_view file;
};
constexpr file_form forms[] = {
    {export_format::ndjson,
     {"exportJobLines", "jobs", "Export jobs, an object a line",
      "From the oldest, of one snapshot; with gzip where the client takes it."},
     {200, "Text", "application/x-ndjson"},
     "/api/v1/jobs.ndjson",
     "application/x-ndjson",
     "jobs.ndjson"},
    {export_format::csv,
     {"exportJobRows", "jobs", "Export jobs as CSV, with a header", "As the lines."},
     {200, "Text", "text/csv"},
     "/api/v1/jobs.csv",
     "text/csv; charset=utf-8; header=present",
     "jobs.csv"},
    {export_format::json,
     {"exportJobs", "jobs", "Export jobs as one array", "As the lines."},
     {200, "Jobs"},
     "/api/v1/jobs.json",
     "application/json",
     "jobs.json"},
};

/// How many exports are under way; outlives the server's table, as a stream may.
using export_count = std::shared_ptr<std::atomic<std::size_t>>;

/// Counts for as long as it is there.
class counted_source final : public text_source {
public:
  counted_source(std::unique_ptr<text_source> what, export_count in)
      : what_(std::move(what)), count_(std::move(in)) {}
  counted_source(const counted_source&) = delete;
  counted_source& operator=(const counted_source&) = delete;
  ~counted_source() override { --*count_; }
  void next(std::function<void(piece)> reply) override { what_->next(std::move(reply)); }

private:
  std::unique_ptr<text_source> what_;
  export_count count_;
};

std::optional<std::int64_t> read_limit(std::string_view text) {
  std::int64_t value = 0;
  const char* last = text.data() + text.size();
  const auto [end, ec] = std::from_chars(text.data(), last, value);
  if (ec != std::errc{} || end != last || value < 1 || value > limits::export_jobs)
    return std::nullopt;
  return value;
}

std::variant<export_jobs, response> read_export_query(std::string_view query) {
  auto parameters = parse_query(query);
  if (!parameters)
    return malformed_query();
  export_jobs out;
  for (auto& [name, value] : *parameters) {
    std::optional<response> wrong;
    if (read_filter(name, value, out.filter, wrong)) {
      if (wrong)
        return *std::move(wrong);
    } else if (name == "limit") {
      out.limit = read_limit(value);
      if (!out.limit)
        return wrong_parameter("limit", "must be an integer from 1 to "
                                            + std::to_string(limits::export_jobs));
    } else {
      return wrong_parameter(name.substr(0, 64), "there is none of this name; an export takes "
                                                     + std::string{filter_parameters}
                                                     + " and limit");
    }
  }
  return out;
}

response head_of(const file_form& form, bool gzip) {
  response out;
  out.content_type = form.content_type;
  out.file = form.file;
  out.streamed = true;
  out.gzip = gzip;
  return out;
}

} // namespace

void add_export_routes(router& table, const services& context, const server_limits& limits) {
  if (context.exports == nullptr)
    return;
  const auto count = std::make_shared<std::atomic<std::size_t>>(0);
  for (const auto& form : forms)
    table.add({.verb = method::get,
               .pattern = form.pattern,
               .role = role::viewer,
               .scope = queue_scope::filter,
               .what = form.what,
               .answers = {form.answer},
               .query = {"State", "Queue", "Kind", "Tag", "LimitKey", "CreatedFrom",
                         "CreatedBefore", "ContainedArgs", "ExportSize"},
               .handle = [&context, &form, count, most = limits.exports](
                             const request_view& request, const responder& respond) {
                 auto read = read_export_query(request.query);
                 if (auto* refused = std::get_if<response>(&read))
                   return respond(std::move(*refused));
                 auto& question = std::get<export_jobs>(read);
                 question.format = form.format;
                 auto answer = head_of(form, accepts_gzip(*request.head));
                 if (request.verb == method::head)
                   return respond(std::move(answer));
                 if (count->load() >= most) // only the loop's thread adds to it
                   return respond(problem_response(to_problem(
                       {errc::overloaded, "there are " + std::to_string(most)
                                              + " exports already; try again when one has "
                                                "ended"})));
                 ++*count;
                 std::unique_ptr<text_source> text;
                 try {
                   text = context.exports->jobs(question);
                 } catch (...) {
                   --*count;
                   throw;
                 }
                 text = std::make_unique<counted_source>(std::move(text), count);
                 answer.stream = answer.gzip ? gzipped(std::move(text)) : std::move(text);
                 respond(std::move(answer));
               }});
}

} // namespace troupe::http
