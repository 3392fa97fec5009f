// XPath over one page's tree: the compiled expressions of a crawl and their results as JSON.
// Used by page.cpp only; evaluation happens inside the page's arena, compiling outside of it.
#pragma once

#include "handlers/page.hpp"

#include <libxml/tree.h>
#include <libxml/xpath.h>

namespace troupe {

struct xpath_cleanup {
  void operator()(xmlXPathCompExpr* expression) const { xmlXPathFreeCompExpr(expression); }
};

struct compiled_selectors::expressions {
  struct one {
    std::string name;
    std::unique_ptr<xmlXPathCompExpr, xpath_cleanup> xpath;
  };
  std::vector<one> list;
};

/// Sets up libxml2 for this process, once: memory hooks first, and no word on standard error.
void start_libxml();

/// {"name": value, ...}: a node set gives an array with the text of each node, anything else its
/// value. An expression that fails on this page gives null and its reason in `error`.
std::string evaluate(const compiled_selectors::expressions& selectors, xmlDoc* page,
                     std::string& error);

} // namespace troupe
