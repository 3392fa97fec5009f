#include "db/copied_rows.hpp"

#include "db/connection_impl.hpp"
#include "db/wire.hpp"

#include <libpq-fe.h>

namespace troupe::db {

namespace {

using namespace std::string_view_literals;

constexpr auto signature = "PGCOPY\n\377\r\n\0"sv;

/// Takes bytes off the front.
std::string_view take_bytes(std::string_view& from, std::size_t count) {
  if (count > from.size())
    throw decode_error("a COPY ends in the middle of a row");
  const auto taken = from.substr(0, count);
  from.remove_prefix(count);
  return taken;
}

template<class T>
T take_int(std::string_view& from) {
  return wire::get_int<T>(take_bytes(from, sizeof(T)).data());
}

void skip_header(std::string_view& from) {
  if (take_bytes(from, signature.size()) != signature || take_int<std::int32_t>(from) != 0)
    throw decode_error("this is no COPY in binary");
  take_bytes(from, static_cast<std::size_t>(take_int<std::int32_t>(from)));
}

} // namespace

result copied_rows::take(std::string_view chunk) {
  result_handle rows{PQcopyResult(columns_.raw_.get(), PG_COPYRES_ATTRS)};
  if (!rows)
    throw std::bad_alloc{};
  if (!std::exchange(begun_, true))
    skip_header(chunk);
  for (int row = 0; !chunk.empty(); ++row) {
    const auto columns = take_int<std::int16_t>(chunk);
    if (columns == -1) // the end
      break;
    if (columns != columns_.columns())
      throw decode_error("a COPY has other columns than its statement");
    for (int column = 0; column < columns; ++column) {
      const auto size = take_int<std::int32_t>(chunk);
      const bool null = size < 0;
      auto bytes = take_bytes(chunk, null ? 0 : static_cast<std::size_t>(size));
      // Reads only.
      if (PQsetvalue(rows.get(), row, column, null ? nullptr : const_cast<char*>(bytes.data()),
                     size)
          != 1)
        throw std::bad_alloc{};
    }
  }
  return {rows.release(), columns_.what_};
}

} // namespace troupe::db
