#include "launcher/listening.hpp"

#include "http/tls_context.hpp"
#include "launcher/database_options.hpp"
#include "launcher/postgres_directory.hpp"
#include "messages/engine_error.hpp"
#include "messages/version.hpp"

#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <sys/stat.h>
#include <system_error>
#include <utility>

namespace troupe {

std::shared_ptr<http::tls_context> read_certificate(const engine_options& options) {
  if (!options.http || options.tls_certificate.empty())
    return nullptr;
  try {
    return std::make_shared<http::tls_context>(
        http::tls_files{options.tls_certificate, options.tls_key});
  } catch (const std::runtime_error& e) {
    throw engine_error(errc::invalid_argument, e.what());
  }
}

std::function<health_check()> health_of(std::shared_ptr<http::tls_context> tls) {
  if (!tls)
    return {};
  return [tls = std::move(tls)] { return tls->check(std::chrono::system_clock::now()); };
}

http::server_options server_options_of(const engine_options& options,
                                       std::shared_ptr<http::tls_context> tls) {
  http::server_options out;
  out.address = options.address;
  out.port = options.port;
  out.tls = std::move(tls);
  out.socket_path = options.socket_path;
  out.socket_mode = options.socket_mode;
  out.allowed_hosts = options.allowed_hosts;
  if (options.http_rate > 0) {
    out.limits.caller_each = std::chrono::nanoseconds{std::chrono::seconds{1}} / options.http_rate;
    out.limits.caller_burst = options.http_burst > 0 ? options.http_burst : options.http_rate;
  }
  return out;
}

namespace {

/// At the first start the data directory is not there yet, and the socket may lie in it. What is
/// wrong with either is told by whoever needs it.
void make_place_of_socket(const engine_options& options) {
  namespace fs = std::filesystem;
  if (options.socket_path.empty())
    return;
  const fs::path root = options.data_dir.empty() ? default_data_dir() : options.data_dir;
  std::error_code failed;
  if (fs::absolute(options.socket_path).lexically_normal().parent_path()
      != (fs::absolute(root) / "").lexically_normal().parent_path())
    return;
  fs::create_directories(root.parent_path(), failed);
  ::mkdir(root.c_str(), 0700);
}

} // namespace

http::doors open_doors(const engine_options& options) {
  if (!options.http)
    return {};
  make_place_of_socket(options);
  try {
    return http::open_doors(server_options_of(options, nullptr));
  } catch (const std::runtime_error& e) {
    throw engine_error(errc::invalid_argument, e.what());
  }
}

http::services services_of(const engine_options& options) {
  http::services out;
  out.require_tokens = options.require_tokens;
  out.node = options.node;
  out.version = version;
  out.commit = options.commit;
  out.configuration = options.configuration;
  out.pool = bounds_of(options.database);
  out.serves = [queues = options.queues, slots = options.slots](const std::string& queue) {
    const auto named = queues.find(queue);
    return (named != queues.end() ? named->second : slots) > 0;
  };
  return out;
}

std::vector<std::string> urls_of(const engine_options& options, std::uint16_t port) {
  std::vector<std::string> out;
  const bool v6 = options.address.find(':') != std::string::npos;
  if (!options.address.empty())
    out.push_back((options.tls_certificate.empty() ? "http://" : "https://")
                  + (v6 ? "[" + options.address + "]" : options.address) + ":"
                  + std::to_string(port));
  if (!options.socket_path.empty())
    out.push_back("unix:" + options.socket_path);
  return out;
}

} // namespace troupe
