// What the engine's options say to the actors. Asked by the engine at each start. A pure function
// but for the metrics, in which it notes how many connections there may be.
#pragma once

#include "actors/cast.hpp"
#include "launcher/engine_options.hpp"
#include "messages/database_metrics.hpp"

#include <string>

namespace troupe {

cast_options cast_options_of(const engine_options& options, const std::string& url,
                             database_metrics& metrics);

/// Null: nobody wants spans. The counters must outlive it. Throws engine_error for an option that
/// is wrong.
std::unique_ptr<span_sink> make_span_exporter(const engine_options& options,
                                              engine_counters& counters);

} // namespace troupe
