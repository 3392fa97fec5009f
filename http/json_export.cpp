#include "http/json_export.hpp"

#include "http/filter_fields.hpp"
#include "http/json_guard.hpp"
#include "http/json_members.hpp"
#include "http/route_answers.hpp"
#include "http/time_format.hpp"

#include <utility>

namespace troupe::http {

namespace {

using kind = json_value::kind;

struct export_reader {
  export_order out;
  std::vector<field_error> errors;

  void fail(std::string pointer, std::string detail) {
    errors.push_back({std::move(pointer), std::move(detail)});
  }

  void read_format(const json_value& value) {
    for (const auto format : {export_format::ndjson, export_format::csv, export_format::json})
      if (value.type == kind::string && value.text == to_string(format)) {
        out.what.format = format;
        return;
      }
    fail("/format", "must be ndjson, csv or json");
  }

  void read(const std::string& key, json_value& value) {
    if (key == "format") {
      read_format(value);
    } else if (key == "compression") {
      out.gzip = value.type == kind::string && value.text == "gzip";
      if (!out.gzip && (value.type != kind::string || value.text != "none"))
        fail("/compression", "must be none or gzip");
    } else if (key == "limit") {
      if (value.type != kind::integer || value.integer < 1 || value.integer > limits::export_jobs)
        return fail("/limit",
                    "must be an integer from 1 to " + std::to_string(limits::export_jobs));
      out.what.limit = value.integer;
    } else {
      std::string pointer;
      append_pointer(pointer, key);
      if (!read_filter(
              key, value, pointer, out.what.filter,
              [this](std::string at, std::string why) { fail(std::move(at), std::move(why)); }))
        fail(pointer, "no such field; an export has format, compression, "
                          + std::string{filter_members} + " and limit");
    }
  }
};

void append_file(std::string& out, const stored_file& file) {
  out += "{\"bytes\":" + std::to_string(file.bytes) + ",\"rows\":" + std::to_string(file.rows)
         + ",\"sha256\":\"" + file.sha256 + "\",\"finished_at\":";
  append_time_or_null(out, file.finished_at);
  out += ",\"expires_at\":";
  append_time_or_null(out, file.expires_at);
  out += '}';
}

} // namespace

std::string_view to_string(export_format format) {
  switch (format) {
  case export_format::csv:
    return "csv";
  case export_format::json:
    return "json";
  case export_format::ndjson:
    break;
  }
  return "ndjson";
}

std::variant<export_order, problem> read_export(std::string_view body) {
  json_limits most;
  most.depth = limits::filter_args_depth;
  auto document = read_json(body, most);
  if (auto* error = std::get_if<json_error>(&document))
    return malformed(std::move(*error), body);
  auto& root = std::get<json_value>(document);
  if (root.type != kind::object)
    return invalid_fields({{"", "must be an object with format"}});
  export_reader reader;
  bool has_format = false;
  for (auto& [key, value] : root.members) {
    has_format = has_format || key == "format";
    reader.read(key, value);
  }
  if (!has_format)
    reader.fail("/format", "is required");
  if (!reader.errors.empty())
    return invalid_fields(std::move(reader.errors));
  return std::move(reader.out);
}

void append_export(std::string& out, const export_record& one) {
  const auto& what = one.order.what;
  out += "{\"id\":\"" + std::to_string(one.id.value) + '"';
  append_text(out, "state", to_string(one.state));
  out += ",\"attempt\":" + std::to_string(one.attempt);
  append_text(out, "format", to_string(what.format));
  append_text(out, "compression", one.order.gzip ? "gzip" : "none");
  append_filter(out, what.filter, "job_state");
  out += ",\"limit\":" + (what.limit ? std::to_string(*what.limit) : "null");
  append_text(out, "progress", one.message);
  append_text_or_null(out, "error", one.error);
  append_time_of(out, "created_at", one.created_at);
  out += ",\"file\":";
  if (one.file)
    append_file(out, *one.file);
  else
    out += "null";
  out += '}';
}

std::string exports_json(const export_page& page) {
  std::string out = "{\"exports\":[";
  for (const auto& one : page.exports) {
    if (out.back() == '}')
      out += ',';
    append_export(out, one);
  }
  return out + "],\"next\":" + (page.next ? '"' + std::to_string(page.next->value) + '"' : "null")
         + '}';
}

} // namespace troupe::http
