#include "cli/table.hpp"

#include "cli/text.hpp"

#include <algorithm>
#include <utility>

namespace troupe::cli {

table::table(std::vector<table_column> columns, int widest)
    : columns_(std::move(columns)), widest_(widest) {
  for (const auto& column : columns_)
    widths_.push_back(display_width(column.title));
}

void table::add(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  for (std::size_t i = 0; i < cells.size(); ++i) {
    cells[i] = printable(cells[i]);
    if (widest_ > 0)
      cells[i] = cut_to_width(cells[i], widest_);
    widths_[i] = std::max(widths_[i], display_width(cells[i]));
  }
  rows_.push_back(std::move(cells));
}

std::string table::take() {
  std::string out;
  if (!std::exchange(titled_, true)) {
    std::vector<std::string> titles;
    for (const auto& column : columns_)
      titles.push_back(column.title);
    out += line(titles);
  }
  for (const auto& row : rows_)
    out += line(row);
  rows_.clear();
  return out;
}

std::string table::line(const std::vector<std::string>& cells) const {
  std::string out;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string padding(static_cast<std::size_t>(widths_[i] - display_width(cells[i])), ' ');
    out += i == 0 ? "" : "  ";
    out += columns_[i].number ? padding + cells[i] : cells[i] + padding;
  }
  out.erase(out.find_last_not_of(' ') + 1);
  return out + '\n';
}

} // namespace troupe::cli
