// Values to columns and back: an array parameter holds one field of every row, an array result the
// ids of many; who asks. For the *_statements.cpp.
#pragma once

#include "db/query.hpp"
#include "messages/asker.hpp"

#include <cstdint>
#include <functional>
#include <type_traits>
#include <vector>

namespace troupe::db {

/// What `project`, a function or a pointer to a member, gives for each row.
template<class Row, class Project>
auto column(const std::vector<Row>& rows, Project project) {
  std::vector<std::remove_cvref_t<std::invoke_result_t<Project, const Row&>>> values;
  values.reserve(rows.size());
  for (const auto& row : rows)
    values.push_back(std::invoke(project, row));
  return values;
}

/// The same with each value made a `T`.
template<class T, class Row, class Project>
std::vector<T> column_of(const std::vector<Row>& rows, Project project) {
  return column(rows, [&](const Row& row) { return static_cast<T>(std::invoke(project, row)); });
}

/// The three parameters behind those of the change (troupe.note_change).
inline void bind_asker(query& q, const asker& by) {
  q.bind(by.token).bind(by.who).bind(by.request_id);
}

template<class Id>
std::vector<Id> ids(const std::vector<std::int64_t>& values) {
  return column(values, [](std::int64_t value) { return Id{value}; });
}

} // namespace troupe::db
