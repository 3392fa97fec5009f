#include "cli/fitted_table.hpp"

#include "cli/text.hpp"

#include <algorithm>
#include <numeric>

namespace troupe::cli {

namespace {

constexpr int gap = 2;
/// To what texts are cut before a column is left out for them.
constexpr int usual_text = 16;
/// To what they are cut when nothing else can be left out.
constexpr int least_text = 4;

int total(const std::vector<int>& widths) {
  return std::accumulate(widths.begin(), widths.end(), 0)
         + gap * (static_cast<int>(widths.size()) - 1);
}

/// Which columns stay.
std::vector<std::size_t> chosen(const std::vector<fitted_column>& columns,
                                const std::vector<int>& natural, int width) {
  std::vector<std::size_t> kept(columns.size());
  std::iota(kept.begin(), kept.end(), 0);
  const auto fits = [&] {
    std::vector<int> widths;
    widths.reserve(kept.size());
    for (const auto i : kept)
      widths.push_back(columns[i].number ? natural[i] : std::min(natural[i], usual_text));
    return total(widths) <= width;
  };
  while (width > 0 && !fits()) {
    const auto worst = std::max_element(kept.begin(), kept.end(), [&](auto a, auto b) {
      return columns[a].rank < columns[b].rank;
    });
    if (columns[*worst].rank == 0)
      break;
    kept.erase(worst);
  }
  return kept;
}

/// Cuts the widest texts until all fit, if they can.
void shrink(std::vector<int>& widths, const std::vector<bool>& numbers, int width) {
  while (width > 0 && total(widths) > width) {
    int* widest = nullptr;
    for (std::size_t i = 0; i < widths.size(); ++i)
      if (!numbers[i] && widths[i] > least_text && (widest == nullptr || widths[i] > *widest))
        widest = &widths[i];
    if (widest == nullptr)
      return;
    --*widest;
  }
}

} // namespace

std::vector<std::string> fitted_lines(const std::vector<fitted_column>& columns,
                                      std::vector<std::vector<std::string>> rows, int width) {
  std::vector<int> natural;
  std::vector<std::string> titles(columns.size());
  std::transform(columns.begin(), columns.end(), titles.begin(),
                 [](const auto& column) { return column.title; });
  rows.insert(rows.begin(), titles);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    natural.push_back(0);
    for (auto& row : rows) {
      row.resize(columns.size());
      row[i] = printable(row[i]);
      natural[i] = std::max(natural[i], display_width(row[i]));
    }
  }
  const auto kept = chosen(columns, natural, width);
  std::vector<int> widths;
  std::vector<bool> numbers;
  for (const auto i : kept) {
    widths.push_back(natural[i]);
    numbers.push_back(columns[i].number);
  }
  shrink(widths, numbers, width);
  std::vector<std::string> lines;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t at = 0; at < kept.size(); ++at) {
      const auto cell = cut_to_width(row[kept[at]], widths[at]);
      const std::string padding(static_cast<std::size_t>(widths[at] - display_width(cell)), ' ');
      line += at == 0 ? "" : std::string(gap, ' ');
      line += numbers[at] ? padding + cell : cell + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(width > 0 ? cut_to_width(line, width) : line);
  }
  return lines;
}

} // namespace troupe::cli
