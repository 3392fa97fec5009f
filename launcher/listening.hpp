// What an engine's options say about serving HTTP: the certificate, the server, and the URLs.
#pragma once

#include "http/server.hpp"
#include "launcher/engine_options.hpp"
#include "messages/health.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

/// Null without HTTP or TLS. Throws engine_error (invalid_argument) with a sentence about the file
/// at fault.
std::shared_ptr<http::tls_context> read_certificate(const engine_options& options);
/// What HEALTH MONITOR is to ask; nothing without TLS.
std::function<health_check()> health_of(std::shared_ptr<http::tls_context> tls);
http::server_options server_options_of(const engine_options& options,
                                       std::shared_ptr<http::tls_context> tls);
/// Takes the addresses; what connects waits until a server starts with them. None without HTTP.
/// Throws engine_error (invalid_argument) with a sentence about the one that cannot be had.
http::doors open_doors(const engine_options& options);
/// What the options say of it; the engine adds its own.
http::services services_of(const engine_options& options);
/// `port`: the one in use.
std::vector<std::string> urls_of(const engine_options& options, std::uint16_t port);

} // namespace troupe
