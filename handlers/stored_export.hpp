// The kind `troupe.export`: the text of an export in chunks into the database, one on its way at a
// time, so that a run has one piece and one chunk in memory. Holds no thread while it waits.
#pragma once

#include "messages/handler.hpp"
#include "messages/stored_export.hpp"

#include <functional>
#include <memory>

namespace troupe {

struct stored_export_deps {
  export_port& texts;
  stored_export_port& files;
  /// A source of the same text, compressed.
  std::function<std::unique_ptr<text_source>(std::unique_ptr<text_source>)> gzip;
};

/// Result: {"bytes":n,"rows":n,"sha256":"..."}. The ports must outlive the runs.
void add_stored_export(handler_table& kinds, stored_export_deps deps);

} // namespace troupe
