// See server.hpp.
#include "http/server.hpp"

#include "http/hub.hpp"
#include "http/listener.hpp"

#include <boost/asio/post.hpp>

#include <utility>

namespace troupe::http {

struct server::impl : std::enable_shared_from_this<server::impl> {
  impl(net::io_context& l, server_options o, services context)
      : loop(l), options(std::move(o)),
        shared(std::make_shared<hub>(l, options.limits, std::move(context),
                                     rules_for(options.address, options.allowed_hosts))),
        door(std::make_shared<listener>(l, shared)), grace(l.get_executor()) {}

  void stop(std::chrono::milliseconds limit, std::function<void()> done);

  net::io_context& loop;
  server_options options;
  std::shared_ptr<hub> shared;
  std::shared_ptr<listener> door;
  loop_timer grace;
};

void server::impl::stop(std::chrono::milliseconds limit, std::function<void()> done) {
  door->close();
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
  impl_->door->close();
  impl_->grace.cancel();
  impl_->shared->on_room({});
  impl_->shared->close_all();
}

void server::start() {
  impl_->door->open(impl_->options.address, impl_->options.port);
  net::post(impl_->loop, [door = impl_->door] { door->accept(); });
}

std::uint16_t server::port() const {
  return impl_->door->port();
}

void server::stop(std::chrono::milliseconds grace, std::function<void()> done) {
  net::post(impl_->loop, [impl = impl_, grace, done = std::move(done)]() mutable {
    impl->stop(grace, std::move(done));
  });
}

} // namespace troupe::http
