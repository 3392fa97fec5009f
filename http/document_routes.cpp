// /openapi.json, and /docs: a page that shows it. All of it is text that does not change while the
// program runs, so it is kept by whoever asks each time whether it still holds.
#include "http/embedded.hpp"
#include "http/gzip.hpp"
#include "http/openapi.hpp"
#include "http/routes.hpp"

#include <array>
#include <memory>
#include <stdexcept>
#include <utility>

namespace troupe::http {

namespace {

/// The page runs its own script and style, speaks to its own server, and stands in no frame.
constexpr std::string_view page_fields =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "X-Frame-Options: DENY\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n";

struct form {
  std::string text;
  std::string etag;
};
/// As it is, and in gzip's format: once for all who ask.
struct document {
  form plain;
  form packed;
};

/// FNV-1a.
std::string etag_of(std::string_view text) {
  std::uint64_t sum = 0xcbf29ce484222325ULL;
  for (const char c : text)
    sum = (sum ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return '"' + std::to_string(sum) + '"';
}

void fill(document& out, std::string text) {
  out.packed.text = gzip_of(text);
  out.plain.text = std::move(text);
  for (auto* each : {&out.plain, &out.packed})
    each->etag = etag_of(each->text);
}

std::string_view file_named(std::string_view name) {
  for (const auto& file : embedded_files())
    if (file.name == name)
      return file.text;
  throw std::logic_error("no such file is built in: " + std::string{name});
}

/// If-None-Match names what would be answered. A proxy may have made the tag a weak one.
bool is_known(const request_view& request, std::string_view etag) {
  const auto field = request.head != nullptr ? request.head->field("if-none-match") : "";
  return field == "*" || field.find(etag) != std::string_view::npos;
}

route_handler serve(std::shared_ptr<const document> what, std::string_view type) {
  return [what = std::move(what), type](const request_view& request, const responder& respond) {
    const bool packed = request.head != nullptr && accepts_gzip(*request.head);
    const auto& fits = packed ? what->packed : what->plain;
    response out;
    out.content_type = type;
    out.etag = fits.etag;
    out.more_fields = page_fields;
    out.gzip = packed;
    out.varies = true;
    if (is_known(request, fits.etag))
      out.status = 304;
    else
      out.body = fits.text;
    respond(std::move(out));
  };
}

} // namespace

void add_document_routes(router& table, const services& context) {
  const auto add = [&table](std::string_view path, role who, operation what, answer_form answer,
                            const std::shared_ptr<document>& text, std::string_view type) {
    auto handle = serve(text, type);
    table.add({.verb = method::get,
               .pattern = path,
               .role = who,
               .scope = queue_scope::open,
               .what = what,
               .answers = {answer},
               .handle = std::move(handle)});
  };
  const auto page = [&add](std::string_view path, std::string_view file, operation what,
                           answer_form answer, std::string_view type) {
    auto text = std::make_shared<document>();
    fill(*text, std::string{file_named(file)});
    add(path, role::anyone, what, answer, text, type);
  };
  const auto described = std::make_shared<document>();
  add("/openapi.json", role::viewer, {"getOpenApi", "documents", "Read this document"},
      {200, "OpenApi"}, described, "application/json");
  // Whoever opens a page cannot send a token with it; what the page asks for needs one.
  page("/docs", "docs.html", {"getDocs", "documents", "The page that shows this document"},
       {200, "Text", "text/html"}, "text/html; charset=utf-8");
  page("/docs/docs.css", "docs.css", {"getDocsStyle", "documents", "The page's style"},
       {200, "Text", "text/css"}, "text/css; charset=utf-8");
  page("/docs/docs.js", "docs.js", {"getDocsScript", "documents", "The page's script"},
       {200, "Text", "text/javascript"}, "text/javascript; charset=utf-8");
  fill(*described, openapi_json(table, context.version));
}

} // namespace troupe::http
