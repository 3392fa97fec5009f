#include "handlers/page.hpp"

#include "handlers/link_set.hpp"
#include "handlers/page_arena.hpp"
#include "handlers/selectors.hpp"
#include "handlers/text.hpp"
#include "handlers/url.hpp"

#include <libxml/HTMLparser.h>
#include <libxml/SAX2.h>

#include <cstring>
#include <optional>

namespace troupe {

namespace {

/// What the parser's callbacks gather; reachable from the parser's context as `_private`.
struct gatherer {
  gatherer(const page_source& page, link_set& set, page_facts& out)
      : facts(out), resolver(page.url), links(set) {
    links.start(page.url);
  }

  page_facts& facts;
  link_resolver resolver;
  link_set& links;
  bool build_tree = false;
  bool rebased = false; ///< only the first <base> counts
  bool links_full = false;
  bool in_title = false;
  bool title_done = false;  ///< only the first <title> counts
  bool title_blank = false; ///< a blank is due before the title's next letter
  int svg = 0;              ///< depth of <svg>, whose <title> is a tooltip
  int depth = 0;
  int elements = 0;
  int faults = 0;
};

gatherer& gathered(void* context) {
  return *static_cast<gatherer*>(static_cast<htmlParserCtxtPtr>(context)->_private);
}

std::string_view view(const xmlChar* text) {
  return reinterpret_cast<const char*>(text);
}

void give_up(void* context, std::string why) {
  auto& g = gathered(context);
  if (g.facts.error.empty())
    g.facts.error = std::move(why);
  xmlStopParser(static_cast<htmlParserCtxtPtr>(context));
}

const xmlChar* attribute(const xmlChar** attributes, std::string_view name) {
  if (attributes == nullptr)
    return nullptr;
  for (; attributes[0] != nullptr; attributes += 2)
    if (view(attributes[0]) == name)
      return attributes[1] != nullptr ? attributes[1] : reinterpret_cast<const xmlChar*>("");
  return nullptr;
}

void on_link(gatherer& g, const xmlChar** attributes) {
  const auto* href = attribute(attributes, "href");
  if (href == nullptr)
    return;
  ++g.facts.links;
  if (g.links_full)
    return;
  if (const auto url = g.resolver.within_site(view(href)); !url.empty())
    g.links_full = !g.links.add(url);
}

void note_element(gatherer& g, const char* name, const xmlChar** attributes) {
  switch (name[0]) {
  case 'a':
    if (name[1] == '\0')
      on_link(g, attributes);
    break;
  case 'b':
    if (!g.rebased && std::strcmp(name, "base") == 0)
      if (const auto* href = attribute(attributes, "href"); href != nullptr) {
        g.rebased = true;
        g.resolver.rebase(view(href));
      }
    break;
  case 'h':
    if (name[1] >= '1' && name[1] <= '6' && name[2] == '\0')
      ++g.facts.headings;
    break;
  case 's':
    if (std::strcmp(name, "svg") == 0)
      ++g.svg;
    break;
  case 't':
    if (!g.title_done && g.svg == 0 && std::strcmp(name, "title") == 0)
      g.in_title = true;
    break;
  default:
    break;
  }
}

void on_start(void* context, const xmlChar* element, const xmlChar** attributes) {
  auto& g = gathered(context);
  if (++g.depth > limits::page_depth)
    return give_up(context, "elements nested deeper than " + std::to_string(limits::page_depth));
  if (++g.elements > limits::page_elements)
    return give_up(context, "more than " + std::to_string(limits::page_elements) + " elements");
  note_element(g, reinterpret_cast<const char*>(element), attributes);
  if (g.build_tree)
    xmlSAX2StartElement(context, element, attributes);
}

void on_end(void* context, const xmlChar* element) {
  auto& g = gathered(context);
  --g.depth;
  const char* name = reinterpret_cast<const char*>(element);
  if (g.in_title && std::strcmp(name, "title") == 0) {
    g.in_title = false;
    g.title_done = !g.facts.title.empty();
  } else if (g.svg > 0 && std::strcmp(name, "svg") == 0) {
    --g.svg;
  }
  if (g.build_tree)
    xmlSAX2EndElement(context, element);
}

/// Collapses blanks as it copies. Stops at twice the limit: the cut at a border comes at the end.
void add_title(gatherer& g, std::string_view text) {
  auto& title = g.facts.title;
  for (char c : text) {
    if (static_cast<unsigned char>(c) <= ' ') {
      g.title_blank = !title.empty();
      continue;
    }
    if (title.size() > limits::title_bytes)
      return;
    if (g.title_blank)
      title += ' ';
    g.title_blank = false;
    title += c;
  }
}

void on_text(void* context, const xmlChar* text, int length) {
  auto& g = gathered(context);
  if (g.in_title)
    add_title(g, {reinterpret_cast<const char*>(text), static_cast<std::size_t>(length)});
  if (g.build_tree)
    xmlSAX2Characters(context, text, length);
}

void on_script(void* context, const xmlChar* text, int length) {
  if (gathered(context).build_tree)
    xmlSAX2CDataBlock(context, text, length);
}

void on_fault(void* context, const char*, ...) {
  if (++gathered(context).faults > limits::page_faults)
    give_up(context, "more than " + std::to_string(limits::page_faults) + " faults in the HTML");
}

void prepare(htmlParserCtxtPtr parser, gatherer& g) {
  // The text is clean UTF-8 already: the parser must neither convert nor believe the page's label.
  htmlCtxtUseOptions(parser, HTML_PARSE_RECOVER | HTML_PARSE_NONET | HTML_PARSE_IGNORE_ENC
                                 | HTML_PARSE_COMPACT | HTML_PARSE_NODEFDTD | HTML_PARSE_NOWARNING);
  // libxml2 stops without a word at 256 levels of its tree; page_depth is the limit in both modes.
  parser->options |= XML_PARSE_HUGE;
  parser->charset = XML_CHAR_ENCODING_UTF8;
  parser->_private = &g;
  auto& sax = *parser->sax;
  if (!g.build_tree)
    sax = {};
  sax.startElement = on_start;
  sax.endElement = on_end;
  sax.characters = on_text;
  sax.ignorableWhitespace = g.build_tree ? on_text : nullptr;
  sax.cdataBlock = on_script;
  sax.error = on_fault;
  sax.warning = nullptr;
}

void parse(std::string_view text, const compiled_selectors* selectors, gatherer& g) {
  const page_arena::scope arena;
  htmlParserCtxtPtr parser = htmlCreateMemoryParserCtxt(text.data(), static_cast<int>(text.size()));
  if (parser == nullptr)
    throw std::bad_alloc();
  prepare(parser, g);
  htmlParseDocument(parser);
  if (parser->lastError.code == XML_ERR_NO_MEMORY && g.facts.error.empty())
    g.facts.error = "the page takes more memory than one page may";
  if (selectors != nullptr && parser->myDoc != nullptr && g.facts.error.empty())
    g.facts.fields = evaluate(selectors->get(), parser->myDoc, g.facts.error);
  if (arena.active())
    return; // all of it goes with the arena
  if (parser->myDoc != nullptr)
    xmlFreeDoc(parser->myDoc);
  htmlFreeParserCtxt(parser);
}

} // namespace

page_facts parse_page(const page_source& page, const compiled_selectors* selectors) {
  start_libxml();
  thread_local link_set links;
  thread_local std::string converted;
  page_facts facts;
  const auto text = page_text(page.body, page.content_type, converted);
  if (text.empty())
    return facts;
  gatherer g(page, links, facts);
  g.build_tree = selectors != nullptr && !selectors->empty();
  parse(text, g.build_tree ? selectors : nullptr, g);
  facts.title.resize(cut_utf8(facts.title, limits::title_bytes).size());
  facts.discovered = links.take();
  if (converted.capacity() > page_arena::first_chunk)
    converted = {}; // one huge page must not stay with the thread
  return facts;
}

} // namespace troupe
