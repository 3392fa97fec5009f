#include "db/export_statements.hpp"

#include "db/filter.hpp"
#include "db/statements.hpp"

namespace troupe::db {

namespace {

/// Neither the quote nor the delimiter comes in JSON, so nothing is quoted or escaped.
constexpr const char* as_it_is = R"() to stdout (format csv, quote e'\x01', delimiter e'\x02'))";

query with_filter(const statement& rows, const export_jobs& what) {
  query made{rows};
  bind_filter(made, what.filter);
  return made.bind(what.limit);
}

} // namespace

query export_plans_query() {
  return query{sql::export_plans};
}

query export_query(const export_jobs& what) {
  const bool columns = what.format == export_format::csv;
  const auto& rows = columns ? sql::export_columns : sql::export_lines;
  auto made = with_filter(rows, what);
  if (!columns)
    made.bind(what.format == export_format::json ? "," : "");
  return made.with_statement(dynamic_statement{
      "export",
      std::string{"copy ("} + rows.text + (columns ? ") to stdout (format csv, header)" : as_it_is),
      export_silence});
}

} // namespace troupe::db
