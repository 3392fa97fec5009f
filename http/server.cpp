// See server.hpp.
#include "http/server.hpp"

#include "http/hub.hpp"
#include "http/listener.hpp"
#include "http/tls_context.hpp"

#include <boost/asio/post.hpp>

#include <utility>

namespace troupe::http {

struct server::impl : std::enable_shared_from_this<server::impl> {
  impl(net::io_context& l, server_options o, services context)
      : loop(l), options(std::move(o)),
        shared(std::make_shared<hub>(l, options.limits, std::move(context))),
        grace(l.get_executor()), look(l.get_executor()) {}

  void open(doors at);
  void accept();
  void close();
  void watch_certificate();
  void stop(std::chrono::milliseconds limit, std::function<void()> done);

  net::io_context& loop;
  server_options options;
  std::shared_ptr<hub> shared;
  std::shared_ptr<listener> tcp_door;  ///< null: there is none
  std::shared_ptr<listener> unix_door; ///< likewise
  loop_timer grace;
  loop_timer look; ///< at the files of the certificate
};

void server::impl::open(doors at) {
  if (at.tcp)
    tcp_door =
        std::make_shared<listener>(loop, shared, rules_for(options.address, options.allowed_hosts),
                                   std::move(*at.tcp), options.tls);
  // No page of a browser reaches it, so any Host will do.
  if (at.path)
    unix_door = std::make_shared<listener>(loop, shared, admission_rules{}, std::move(*at.path));
  shared->on_room([weak = weak_from_this()] {
    if (const auto self = weak.lock())
      self->accept();
  });
}

void server::impl::accept() {
  for (const auto& door : {tcp_door, unix_door})
    if (door)
      door->accept();
}

void server::impl::close() {
  look.cancel();
  for (const auto& door : {tcp_door, unix_door})
    if (door)
      door->close();
}

void server::impl::watch_certificate() {
  if (!options.tls)
    return;
  look.expires_after(options.limits.certificate_look);
  look.async_wait([weak = weak_from_this()](const error_code& ec) {
    const auto self = weak.lock();
    if (!self || ec)
      return;
    self->options.tls->reload_if_changed();
    self->watch_certificate();
  });
}

void server::impl::stop(std::chrono::milliseconds limit, std::function<void()> done) {
  close();
  // Connections take their state along, so the timer is what may end first or last.
  grace.expires_after(limit);
  grace.async_wait([self = shared_from_this()](const error_code& ec) {
    if (!ec)
      self->shared->close_all();
  });
  shared->begin_stop([self = shared_from_this(), done = std::move(done)] {
    self->grace.cancel();
    net::post(self->loop, done);
  });
}

server::server(boost::asio::io_context& loop, server_options options, services context)
    : impl_(std::make_shared<impl>(loop, std::move(options), std::move(context))) {}

server::~server() {
  impl_->close();
  impl_->grace.cancel();
  impl_->shared->on_room({});
  impl_->shared->close_all();
}

void server::start() {
  start(open_doors(impl_->options));
}

void server::start(doors at) {
  impl_->open(std::move(at));
  net::post(impl_->loop, [impl = impl_] {
    impl->accept();
    impl->watch_certificate();
  });
}

std::uint16_t server::port() const {
  return impl_->tcp_door ? impl_->tcp_door->port() : std::uint16_t{0};
}

void server::stop(std::chrono::milliseconds grace, std::function<void()> done) {
  net::post(impl_->loop, [impl = impl_, grace, done = std::move(done)]() mutable {
    impl->stop(grace, std::move(done));
  });
}

} // namespace troupe::http
