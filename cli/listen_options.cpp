// Where a node listens, by what, and whether that is allowed; see command_line.hpp.
#include "cli/choice.hpp"
#include "cli/command_line.hpp"
#include "cli/settings.hpp"

#include <stdexcept>

namespace troupe::cli {

void command_line::add_listen(CLI::App* app) {
  auto& engine = out_.engine;
  env(app,
      app->add_option("--listen", listen_,
                      "HOST:PORT for HTTP (port 0: any free one), unix:PATH, or both with a comma")
          ->capture_default_str(),
      "TROUPE_LISTEN");
  env(app,
      app->add_option("--socket-mode", socket_mode_,
                      "Who may use unix:PATH: its owner, or the group, too")
          ->check(one_of({"0600", "0660"}))
          ->capture_default_str(),
      "TROUPE_SOCKET_MODE");
  env(app,
      app->add_option("--tls-cert", engine.tls_certificate,
                      "Serve HOST:PORT by TLS: the certificate and its chain, in PEM; it is read "
                      "again on SIGHUP and when it has changed")
          ->type_name("FILE"),
      "TROUPE_TLS_CERT");
  env(app,
      app->add_option("--tls-key", engine.tls_key, "The certificate's key, in PEM")
          ->type_name("FILE"),
      "TROUPE_TLS_KEY");
  sources_.bind(
      app,
      app->add_flag(
          "--insecure-listen", insecure_listen_,
          "Allow --listen beyond loopback, though whoever reaches the port may do anything"),
      "", "");
  env(app,
      app->add_flag("--plain-http", plain_http_,
                    "With --require-tokens, allow --listen beyond loopback without TLS, though "
                    "tokens and all else go unencrypted"),
      "TROUPE_PLAIN_HTTP");
  constexpr int most_requests = 1'000'000;
  env(app,
      app->add_option("--http-rate", engine.http_rate,
                      "Requests a second of one caller (a token, or else an address); 0: any")
          ->check(CLI::Range(0, most_requests))
          ->capture_default_str(),
      "TROUPE_HTTP_RATE");
  env(app,
      app->add_option("--http-burst", engine.http_burst,
                      "How many of them may come at once; 0: as many as in a second")
          ->check(CLI::Range(0, most_requests))
          ->capture_default_str(),
      "TROUPE_HTTP_BURST");
  env(app,
      list(app->add_option("--allow-host", allowed_hosts_,
                           "A further name that requests may use as Host (repeatable)")),
      "TROUPE_ALLOW_HOST");
}

void command_line::add_spans(CLI::App* app) {
  auto& engine = out_.engine;
  env(app,
      app->add_option("--otlp-endpoint", engine.otlp_endpoint,
                      "Send spans to this collector, by OTLP over HTTP")
          ->type_name("URL"),
      "TROUPE_OTLP_ENDPOINT");
  env(app,
      app->add_option("--otlp-ca-file", engine.otlp_ca_file,
                      "Authorities of an https collector, in PEM, in place of the system's")
          ->type_name("FILE"),
      "TROUPE_OTLP_CA_FILE");
  env(app,
      app->add_option("--otlp-sample-ratio", engine.otlp_sample_ratio,
                      "How many of the traces that begin here are sampled; 0: none is begun")
          ->check(number_in(0.0, 1.0))
          ->capture_default_str(),
      "TROUPE_OTLP_SAMPLE_RATIO");
  env(app,
      app->add_option("--otlp-headers", otlp_headers_,
                      "NAME=VALUE with commas between them: headers for the collector. A secret "
                      "belongs into the variable or the file"),
      "TROUPE_OTLP_HEADERS");
  env(app,
      app->add_option("--otlp-service", engine.otlp_service, "The spans' service.name")
          ->capture_default_str(),
      "TROUPE_OTLP_SERVICE");
}

void command_line::finish_spans() {
  auto& engine = out_.engine;
  if (!engine.otlp_endpoint.empty())
    engine.otlp_endpoint = read_otlp_endpoint(engine.otlp_endpoint);
  if (!engine.otlp_ca_file.empty() && engine.otlp_endpoint.starts_with("http://"))
    throw std::invalid_argument("--otlp-ca-file: the collector of --otlp-endpoint is asked without "
                                "TLS; name it by https://");
  engine.otlp_headers = read_otlp_headers(otlp_headers_);
}

void command_line::finish_listen() {
  auto& engine = out_.engine;
  const auto where = read_listen(listen_);
  if (engine.tls_certificate.empty() != engine.tls_key.empty())
    throw std::invalid_argument("--tls-cert and --tls-key belong together: give both, or none");
  if (!engine.tls_certificate.empty() && !where.tcp)
    throw std::invalid_argument("--tls-cert: a Unix socket is served without TLS; give a "
                                "HOST:PORT to --listen, too");
  if (where.tcp)
    check_listen(*where.tcp);
  engine.http = true;
  engine.address = where.tcp ? where.tcp->host : "";
  engine.port = where.tcp ? where.tcp->port : std::uint16_t{0};
  engine.socket_path = where.socket_path;
  engine.socket_mode = socket_mode_ == "0660" ? 0660 : 0600;
  engine.allowed_hosts = {allowed_hosts_.begin(), allowed_hosts_.end()};
}

void command_line::check_listen(const endpoint& where) const {
  if (is_loopback(where.host) || insecure_listen_)
    return;
  const bool tls = !out_.engine.tls_certificate.empty();
  if (!out_.engine.require_tokens)
    throw std::invalid_argument(
        "--listen " + listen_
        + " would let every machine that reaches this port do anything: nobody is asked for a "
          "token. Listen on 127.0.0.1, or add "
        + (tls ? "--require-tokens" : "--require-tokens and --tls-cert (or --plain-http)")
        + ", or --insecure-listen if the network is trusted");
  if (!plain_http_ && !tls)
    throw std::invalid_argument(
        "--listen " + listen_
        + " would send tokens and all else over the network unencrypted. Add --tls-cert and "
          "--tls-key, or listen on 127.0.0.1 behind a proxy that has TLS, or add --plain-http if "
          "the network is trusted");
}

} // namespace troupe::cli
