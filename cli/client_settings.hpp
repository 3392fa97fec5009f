// How the commands that talk HTTP reach a server.
#pragma once

#include <string>

namespace troupe::cli {

struct client_settings {
  /// http://HOST:PORT, https://HOST:PORT or unix:PATH; without a scheme it is http
  std::string url = "http://127.0.0.1:8080";
  double timeout = 30; ///< seconds for one request
  std::string token{}; ///< shown with every request; empty: none
  /// PEM, of the authorities that a server's certificate may be of; empty: the system's.
  std::string ca_file{};
};

} // namespace troupe::cli
