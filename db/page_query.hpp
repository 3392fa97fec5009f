// One page of a query's rows: filters, order and the place where the last page ended, composed from
// columns that the program names and values that are bound. No text of a caller ever becomes SQL: a
// column that is not in the list is refused. Pages go by key and not by offset, so they stay right
// and fast while rows come and go. Bounds: max_limit rows, cursors of max_cursor bytes.
#pragma once

#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/engine_error.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace troupe::db {

/// A value of a filter or a cursor.
using page_value = std::variant<std::int64_t, std::string, timestamp>;

enum class column_type : std::uint8_t { integer, text, time }; ///< bigint, text, timestamptz

/// A column of the query that a caller may filter and sort by.
struct page_column {
  std::string name;
  column_type type = column_type::integer;
};

enum class compare : std::uint8_t { equal, not_equal, less, at_most, greater, at_least };
enum class direction : std::uint8_t { ascending, descending };

class page_query {
public:
  static constexpr int max_limit = 10'000;
  static constexpr std::size_t max_cursor = 4096;

  /// `base` with its own parameters bound; it is read as a table of which `columns` are known.
  page_query(query base, std::vector<page_column> columns);

  // What is wrong throws engine_error, errc::invalid_argument, with the name of the column.
  page_query& where(std::string_view column, compare how, page_value with);
  /// All keys have one direction; together they must be unique, and none of them NULL.
  page_query& order_by(const std::vector<std::string>& keys, direction way = direction::ascending);
  page_query& limit(int rows);
  /// Where the last page ended: what next() gave for the same filters and order. Empty: the start.
  page_query& after(std::string_view cursor);

  query build() const;
  /// The cursor behind the page's last row; none when the page was not full.
  std::optional<std::string> next(const result& page) const;

private:
  struct condition {
    page_column column;
    compare how;
    page_value with;
  };

  const page_column& column(std::string_view name) const;
  /// What a cursor belongs to.
  std::uint64_t fingerprint() const;

  query base_;
  std::vector<page_column> columns_;
  std::vector<condition> conditions_;
  std::vector<page_column> keys_;
  direction way_ = direction::ascending;
  int limit_ = 50;
  std::vector<page_value> last_;
};

} // namespace troupe::db
