// See message.hpp.
#include "http/message.hpp"

#include "messages/job.hpp"

#include <array>
#include <charconv>
#include <utility>

namespace troupe::http {

namespace {

constexpr std::array<std::pair<std::string_view, method>, 9> methods = {
    {{"GET", method::get},
     {"HEAD", method::head},
     {"POST", method::post},
     {"PUT", method::put},
     {"PATCH", method::patch},
     {"DELETE", method::del},
     {"OPTIONS", method::options},
     {"TRACE", method::trace},
     {"CONNECT", method::connect}}};

void append_number(std::string& out, std::size_t value) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out.append(digits.data(), end);
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  out += value;
  out += "\r\n";
}

/// Of what is streamed to a client of HTTP/1.0 the end of the connection is the end.
void append_length(std::string& out, const response& answer, int version) {
  if (!answer.streamed || answer.length) {
    out += "Content-Length: ";
    append_number(out, answer.length.value_or(answer.body.size()));
    out += "\r\n";
  } else if (version >= 11) {
    out += "Transfer-Encoding: chunked\r\n";
  }
  if (answer.gzip)
    out += "Content-Encoding: gzip\r\n";
  if (!answer.file.empty())
    append_field(out, "Content-Disposition", "attachment; filename=\"" + answer.file + '"');
}

} // namespace

std::optional<method> parse_method(std::string_view name) {
  for (const auto& [text, value] : methods)
    if (text == name)
      return value;
  return std::nullopt;
}

std::string_view to_string(method value) {
  return methods.at(static_cast<std::size_t>(value)).first;
}

response json_response(int status, std::string body) {
  response out;
  out.status = status;
  out.body = std::move(body);
  return out;
}

response problem_response(problem fault) {
  response out;
  out.status = fault.status;
  out.content_type = "application/problem+json";
  out.fault = std::move(fault);
  return out;
}

std::string_view reason_phrase(int status) {
  switch (status) {
  case 200:
    return "OK";
  case 201:
    return "Created";
  case 202:
    return "Accepted";
  case 204:
    return "No Content";
  case 206:
    return "Partial Content";
  case 304:
    return "Not Modified";
  case 400:
    return "Bad Request";
  case 401:
    return "Unauthorized";
  case 403:
    return "Forbidden";
  case 404:
    return "Not Found";
  case 405:
    return "Method Not Allowed";
  case 408:
    return "Request Timeout";
  case 409:
    return "Conflict";
  case 410:
    return "Gone";
  case 412:
    return "Precondition Failed";
  case 413:
    return "Content Too Large";
  case 414:
    return "URI Too Long";
  case 415:
    return "Unsupported Media Type";
  case 416:
    return "Range Not Satisfiable";
  case 417:
    return "Expectation Failed";
  case 422:
    return "Unprocessable Content";
  case 429:
    return "Too Many Requests";
  case 431:
    return "Request Header Fields Too Large";
  case 500:
    return "Internal Server Error";
  case 501:
    return "Not Implemented";
  case 503:
    return "Service Unavailable";
  case 504:
    return "Gateway Timeout";
  case 505:
    return "HTTP Version Not Supported";
  default:
    return "Unknown";
  }
}

bool has_content(int status) {
  return status != 204 && status != 304;
}

void append_head(std::string& out, const response& answer, const head_context& context) {
  out += "HTTP/1.1 ";
  append_number(out, static_cast<std::size_t>(answer.status));
  out += ' ';
  out += reason_phrase(answer.status);
  out += "\r\nServer: troupe\r\n";
  append_field(out, "Date", context.date);
  if (has_content(answer.status)) {
    append_field(out, "Content-Type", answer.content_type);
    append_length(out, answer, context.version);
  }
  if ((answer.streamed && !answer.length) || answer.varies)
    out += "Vary: Accept-Encoding\r\n";
  const bool kept = answer.keep && !answer.etag.empty();
  out += kept ? "Cache-Control: no-cache\r\n" : "Cache-Control: no-store\r\n";
  out += "X-Content-Type-Options: nosniff\r\n";
  append_field(out, "X-Request-Id", context.request_id);
  if (!context.traceparent.empty())
    append_field(out, "traceresponse", context.traceparent);
  if (!answer.location.empty())
    append_field(out, "Location", answer.location);
  if (!answer.allow.empty())
    append_field(out, "Allow", answer.allow);
  if (!answer.etag.empty())
    append_field(out, "ETag", answer.etag);
  if (answer.takes_ranges)
    out += "Accept-Ranges: bytes\r\n";
  if (!answer.content_range.empty())
    append_field(out, "Content-Range", answer.content_range);
  out += answer.more_fields;
  out += context.more_fields;
  if (answer.replayed)
    out += "Idempotent-Replayed: true\r\n";
  if (answer.fault && answer.fault->retry_after > 0) {
    out += "Retry-After: ";
    append_number(out, static_cast<std::size_t>(answer.fault->retry_after));
    out += "\r\n";
  }
  if (!context.keep_alive)
    out += "Connection: close\r\n";
  else if (context.version == 10)
    out += "Connection: keep-alive\r\n";
  out += "\r\n";
}

asker by_whom(const request_view& request) {
  std::string id{request.request_id};
  if (request.who == nullptr)
    return {"anyone", std::nullopt, std::move(id)};
  return {request.who->name, request.who->id, std::move(id)};
}

bool is_sane_request_id(std::string_view id) {
  return is_valid_name(id); // the same alphabet and length as a queue's name
}

} // namespace troupe::http
