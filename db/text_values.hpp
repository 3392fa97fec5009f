// Values as the server's binary format has them, written as PostgreSQL writes them in text (ISO
// dates, UTC, intervals as "1 day 02:00:00"). For result, which reads them as strings. Limits:
// built-in types only, and enums; of all others nothing is known.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::db {

// `size` is pg_type.typlen, which tells an enum from other types that are not built in.
/// The bytes are the text itself (jsonb: all but the first).
bool is_text(unsigned type, int size);
/// text_of() knows the type.
bool has_text(unsigned type, int size);
/// Nothing when `bytes` are no value of this type. Requires has_text().
std::optional<std::string> text_of(unsigned type, std::string_view bytes);

/// "bigint", or the number of a type whose name is not known here.
std::string type_name(unsigned type);

// What a numeric's text says, when it is exactly that: nothing otherwise.
std::optional<std::int64_t> exact_integer(const std::string& numeric);
/// Every digit that the numeric has is the double's, too.
std::optional<double> exact_double(const std::string& numeric);

} // namespace troupe::db
