#include "db/connecting.hpp"

#include "db/dial.hpp"

#include <cassert>
#include <utility>

namespace troupe::db {

struct connecting::impl {
  explicit impl(const connect_options& options) : way(options), settings(options) {}

  dial way;
  connect_options settings;
  bool done = false;
};

connecting::connecting(std::unique_ptr<impl> state) : impl_(std::move(state)) {}
connecting::connecting(connecting&&) noexcept = default;
connecting& connecting::operator=(connecting&&) noexcept = default;
connecting::~connecting() = default;

connecting connecting::start(const connect_options& options) {
  return connecting{std::make_unique<impl>(options)};
}

connecting connecting::start(const std::string& conninfo) {
  connect_options options;
  options.url = conninfo;
  return start(options);
}

connecting::want connecting::step() {
  if (impl_->done)
    return want::done;
  auto result = impl_->way.step();
  impl_->done = result == want::done;
  return result;
}

int connecting::socket() const {
  return impl_->way.socket();
}

std::chrono::steady_clock::time_point connecting::deadline() const {
  return impl_->way.deadline();
}

db_failure connecting::failure() const {
  return impl_->way.failure();
}

connection connecting::produce() && {
  assert(impl_->done);
  return connection::adopt(impl_->way.take().release(), impl_->settings);
}

} // namespace troupe::db
