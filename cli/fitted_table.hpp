// A table that fits a width: columns that matter less are left out first, then long texts are cut.
// Pure.
#pragma once

#include <string>
#include <vector>

namespace troupe::cli {

struct fitted_column {
  std::string title;
  bool number = false; ///< flush right, never cut
  int rank = 0;        ///< the highest is left out first; 0: never
};

/// The titles, then the rows, each of at most `width` columns; 0: as wide as it gets. Cells are
/// made printable here.
std::vector<std::string> fitted_lines(const std::vector<fitted_column>& columns,
                                      std::vector<std::vector<std::string>> rows, int width);

} // namespace troupe::cli
