#include "handlers/selectors.hpp"

#include "handlers/page_arena.hpp"
#include "handlers/text.hpp"

#include <libxml/HTMLtree.h>
#include <libxml/parser.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <utility>

namespace troupe {

namespace {

struct context_cleanup {
  void operator()(xmlXPathContext* context) const { xmlXPathFreeContext(context); }
};
struct object_cleanup {
  void operator()(xmlXPathObject* object) const { xmlXPathFreeObject(object); }
};
using xpath_context = std::unique_ptr<xmlXPathContext, context_cleanup>;
struct document_cleanup {
  void operator()(xmlDoc* page) const { xmlFreeDoc(page); }
};
using document = std::unique_ptr<xmlDoc, document_cleanup>;
const auto* const name_html = reinterpret_cast<const xmlChar*>("html");
using xpath_object = std::unique_ptr<xmlXPathObject, object_cleanup>;

/// libxml2's XPath code reports here instead of printing; the first report is kept.
void keep_report(void* out, xmlErrorPtr error) {
  auto& text = *static_cast<std::string*>(out);
  if (!text.empty() || error == nullptr || error->message == nullptr)
    return;
  text = error->message;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' '))
    text.pop_back();
}

std::string_view view(const xmlChar* text) {
  return text == nullptr ? std::string_view{} : reinterpret_cast<const char*>(text);
}

void append_text(std::string& out, std::string_view text) {
  append_json_string(out, cut_utf8(text, limits::match_bytes));
}

void append_nodes(std::string& out, const xmlNodeSet* nodes) {
  out += '[';
  const auto count = nodes == nullptr ? 0U : static_cast<std::size_t>(nodes->nodeNr);
  for (std::size_t i = 0; i < std::min(count, limits::selector_matches); ++i) {
    if (out.size() > limits::fields_bytes)
      break;
    if (i > 0)
      out += ',';
    xmlChar* text = xmlXPathCastNodeToString(nodes->nodeTab[i]);
    append_text(out, view(text));
    xmlFree(text);
  }
  out += ']';
}

void append_value(std::string& out, const xmlXPathObject& value) {
  switch (value.type) {
  case XPATH_NODESET:
    append_nodes(out, value.nodesetval);
    break;
  case XPATH_BOOLEAN:
    out += value.boolval != 0 ? "true" : "false";
    break;
  case XPATH_NUMBER:
    if (std::isfinite(value.floatval)) {
      std::array<char, 32> digits{};
      std::snprintf(digits.data(), digits.size(), "%.15g", value.floatval);
      out += digits.data();
    } else {
      out += "null";
    }
    break;
  case XPATH_STRING:
    append_text(out, view(value.stringval));
    break;
  default:
    out += "null";
  }
}

xpath_object evaluate_one(const compiled_selectors::expressions::one& s, xmlDoc* page,
                          std::string& report) {
  const xpath_context context(xmlXPathNewContext(page));
  if (!context)
    throw std::bad_alloc();
  context->userData = &report;
  context->error = keep_report;
  context->opLimit = limits::selector_steps;
  context->node = xmlDocGetRootElement(page);
  return xpath_object(xmlXPathCompiledEval(s.xpath.get(), context.get()));
}

/// An empty page, to try expressions on: libxml2 compiles calls of functions that do not exist, and
/// even "f(".
document empty_page() {
  document page(htmlNewDocNoDtD(nullptr, nullptr));
  if (!page)
    throw std::bad_alloc();
  xmlDocSetRootElement(page.get(), xmlNewDocNode(page.get(), nullptr, name_html, nullptr));
  return page;
}

void drop_report(void*, const char*, ...) {}

} // namespace

void start_libxml() {
  static std::once_flag once;
  std::call_once(once, [] {
    page_arena::install();
    xmlInitParser();
  });
  // Where it reports faults without a context to report to. Per thread; by default it prints.
  thread_local bool silenced = false;
  if (!std::exchange(silenced, true))
    xmlSetGenericErrorFunc(nullptr, drop_report);
}

compiled_selectors::compiled_selectors() : expressions_(std::make_unique<expressions>()) {}
compiled_selectors::compiled_selectors(compiled_selectors&&) noexcept = default;
compiled_selectors& compiled_selectors::operator=(compiled_selectors&&) noexcept = default;
compiled_selectors::~compiled_selectors() = default;

bool compiled_selectors::empty() const {
  return expressions_->list.empty();
}

std::variant<compiled_selectors, std::string>
compiled_selectors::compile(const std::vector<selector>& list) {
  start_libxml();
  compiled_selectors compiled;
  const auto page = empty_page();
  for (const auto& s : list) {
    const xpath_context context(xmlXPathNewContext(nullptr));
    if (!context)
      throw std::bad_alloc();
    std::string report;
    context->userData = &report;
    context->error = keep_report;
    auto* expression =
        xmlXPathCtxtCompile(context.get(), reinterpret_cast<const xmlChar*>(s.xpath.c_str()));
    compiled.expressions_->list.push_back({s.name, {}});
    auto& added = compiled.expressions_->list.back();
    added.xpath.reset(expression);
    if (expression == nullptr || !evaluate_one(added, page.get(), report))
      return "selector \"" + s.name + "\" is not valid XPath 1.0"
             + (report.empty() ? "" : ": " + report);
  }
  return compiled;
}

std::string evaluate(const compiled_selectors::expressions& selectors, xmlDoc* page,
                     std::string& error) {
  const page_arena::pause malloc_again;
  std::string fields = "{";
  for (const auto& s : selectors.list) {
    if (fields.size() > 1)
      fields += ',';
    append_json_string(fields, s.name);
    fields += ':';
    std::string report;
    const auto value = evaluate_one(s, page, report);
    if (value) {
      append_value(fields, *value);
      continue;
    }
    fields += "null";
    if (error.empty())
      error = "selector \"" + s.name + "\" failed" + (report.empty() ? "" : ": " + report);
  }
  fields += '}';
  return fields;
}

} // namespace troupe
