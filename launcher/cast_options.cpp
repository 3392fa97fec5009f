#include "launcher/cast_options.hpp"

#include "db/migrate.hpp"
#include "launcher/database_options.hpp"
#include "launcher/span_exporter.hpp"
#include "messages/engine_error.hpp"
#include "messages/stored_export.hpp"
#include "messages/version.hpp"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

namespace troupe {

namespace {

bool has_certificates(const std::string& file) {
  const std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)> store{X509_STORE_new(),
                                                                      &X509_STORE_free};
  const bool read = store != nullptr && X509_STORE_load_file(store.get(), file.c_str()) == 1;
  ERR_clear_error();
  return read;
}

} // namespace

cast_options cast_options_of(const engine_options& options, const std::string& url,
                             database_metrics& metrics) {
  cast_options out;
  const auto& database = options.database;
  out.pool.connection = connect_options_of(url, database, "troupe " + options.node);
  const auto bounds = bounds_of(database);
  out.pool.max_size = bounds.max_connections;
  out.pool.min_size = bounds.min_connections;
  out.pool.acquire_timeout = bounds.acquire_timeout;
  out.pool.idle_limit = bounds.idle_limit;
  out.pool.max_lifetime = bounds.max_lifetime;
  out.pool.max_waiting = bounds.max_waiting;
  out.pool.metrics = &metrics;
  metrics.limit = out.pool.max_size;
  if (!database.pooler) {
    auto& notifier = out.notifier.emplace();
    notifier.connection = out.pool.connection;
    notifier.connection.application_name += " listens";
    notifier.metrics = &metrics;
    out.health.limits.listens = true;
  }
  out.executor.queues = options.queues;
  out.executor.queues.try_emplace(page_queue, options.fetches);
  out.executor.queues.try_emplace(export_queue, 1); // it has a connection of its own while it runs
  out.executor.default_slots = options.slots;
  out.executor.prefetch = options.prefetch;
  out.executor.stuck_after = options.stuck_after;
  out.pulse.node_name = options.node;
  out.health.limits.schema_version = db::migrations().back().number;
  return out;
}

std::unique_ptr<span_sink> make_span_exporter(const engine_options& options,
                                              engine_counters& counters) {
  if (options.otlp_endpoint.empty())
    return nullptr;
  if (!(options.otlp_sample_ratio >= 0 && options.otlp_sample_ratio <= 1))
    throw engine_error(errc::invalid_argument, "otlp_sample_ratio: a number from 0 to 1");
  if (!options.otlp_ca_file.empty() && !has_certificates(options.otlp_ca_file))
    throw engine_error(errc::invalid_argument, "otlp_ca_file: '" + options.otlp_ca_file
                                                   + "' has no certificates that can be read");
  span_exporter_options wanted;
  wanted.endpoint = options.otlp_endpoint;
  wanted.ca_file = options.otlp_ca_file;
  wanted.sample_ratio = options.otlp_sample_ratio;
  wanted.headers = options.otlp_headers;
  wanted.resource = {options.otlp_service, options.node, version};
  return std::make_unique<span_exporter>(std::move(wanted), counters);
}

} // namespace troupe
