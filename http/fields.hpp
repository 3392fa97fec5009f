// `fields=a,b` of a query: which members of the objects an answer holds, each under its name.
#pragma once

#include "http/message.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

namespace troupe::http {

/// Of an object's members, by their places in the list of its names. All of them by default.
class chosen_fields {
public:
  static constexpr std::size_t most = 64;

  static constexpr chosen_fields none() { return chosen_fields{0}; }
  constexpr chosen_fields() = default;
  constexpr void add(std::size_t place) { bits_ |= std::uint64_t{1} << place; }
  constexpr bool has(std::size_t place) const { return (bits_ >> place & 1U) != 0; }

private:
  explicit constexpr chosen_fields(std::uint64_t bits) : bits_(bits) {}
  std::uint64_t bits_ = ~std::uint64_t{0};
};

/// `value` is names with commas between them. One that is not known is a 400 with a pointer to it,
/// counted from 0.
std::variant<chosen_fields, response> read_fields(std::string_view value,
                                                  std::span<const std::string_view> known);
/// The same of a query that may hold nothing else; `what` is what it asks for.
std::variant<chosen_fields, response> read_fields_only(std::string_view what,
                                                       std::string_view query,
                                                       std::span<const std::string_view> known);

} // namespace troupe::http
