#include "db/cancel_request.hpp"

#include "db/connection_impl.hpp"

#include <libpq-fe.h>

#include <array>

namespace troupe::db {

void cancel_request::release::operator()(pg_cancel* raw) const {
  PQfreeCancel(raw);
}

bool cancel_request::send() const {
  std::array<char, 256> why{};
  return PQcancel(raw_.get(), why.data(), static_cast<int>(why.size())) == 1;
}

std::shared_ptr<const cancel_request> connection::to_cancel() const {
  auto* raw = impl_->pooler ? nullptr : PQgetCancel(impl_->raw.get());
  return raw == nullptr ? nullptr : std::make_shared<const cancel_request>(raw);
}

} // namespace troupe::db
