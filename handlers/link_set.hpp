// The distinct links of one page, in order of appearance: a small open-addressing table that one
// thread uses for page after page. Bounded by limits::links_per_page.
#pragma once

#include "messages/crawl.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

class link_set {
public:
  /// Forgets all links but `page`, which is in the set without being in the list.
  void start(std::string_view page) {
    slots_.assign(first_slots, 0);
    links_.clear();
    page_ = page;
  }

  /// Adds the link when it is new; false when the set is full.
  bool add(std::string_view link) {
    if (links_.size() >= limits::links_per_page)
      return false;
    if (link == page_)
      return true;
    if ((links_.size() + 1) * 2 > slots_.size())
      grow();
    auto& slot = find(link);
    if (slot == 0) {
      links_.emplace_back(link);
      slot = static_cast<std::uint32_t>(links_.size());
    }
    return true;
  }

  std::vector<std::string> take() { return std::move(links_); }

private:
  static constexpr std::size_t first_slots = 256; ///< a power of two

  /// The slot of this link: 0 when it is not there yet, else its position plus one.
  std::uint32_t& find(std::string_view link) {
    auto at = std::hash<std::string_view>{}(link) & (slots_.size() - 1);
    while (slots_[at] != 0 && links_[slots_[at] - 1] != link)
      at = (at + 1) & (slots_.size() - 1);
    return slots_[at];
  }

  void grow() {
    slots_.assign(slots_.size() * 4, 0);
    for (std::uint32_t i = 0; i < links_.size(); ++i)
      find(links_[i]) = i + 1;
  }

  std::vector<std::uint32_t> slots_;
  std::vector<std::string> links_;
  std::string_view page_;
};

} // namespace troupe
