// Aligned columns for people. Rows may come in portions (pages of a list): columns only ever grow,
// so a later portion stands under the earlier ones. Cells are made printable here.
#pragma once

#include <string>
#include <vector>

namespace troupe::cli {

struct table_column {
  std::string title;
  bool number = false; ///< flush right
};

class table {
public:
  /// `widest`: longer cells are cut; 0: never.
  explicit table(std::vector<table_column> columns, int widest = 0);

  /// One cell per column.
  void add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  /// The rows added since the last call, the first time under the titles.
  std::string take();

private:
  std::string line(const std::vector<std::string>& cells) const;

  std::vector<table_column> columns_;
  int widest_;
  std::vector<int> widths_;
  std::vector<std::vector<std::string>> rows_;
  bool titled_ = false;
};

} // namespace troupe::cli
