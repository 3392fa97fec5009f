#include "launcher/export_ports.hpp"

#include "actors/job_export.hpp"
#include "actors/stored_export.hpp"
#include "handlers/stored_export.hpp"
#include "http/gzip.hpp"

namespace troupe {

export_ports::export_ports(caf::actor_system& system, const work_peers& work)
    : streamed_(make_export_port(system, work)), stored_(make_stored_export_port(system, work)) {}

void export_ports::add_to(handler_table& kinds) {
  add_stored_export(kinds, {*streamed_, *stored_, http::gzipped});
}

void export_ports::offer(http::services& context) {
  context.exports = streamed_.get();
  context.stored_exports = stored_.get();
  context.kinds.erase(export_kind);
}

} // namespace troupe
