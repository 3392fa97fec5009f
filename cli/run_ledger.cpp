#include "cli/run_ledger.hpp"

namespace troupe::cli {

namespace {
constexpr std::uint8_t more_than_once = 2;
} // namespace

void run_ledger::add(std::size_t job) {
  if (job >= runs_.size()) {
    ++others_;
    return;
  }
  auto& runs = runs_[job];
  for (auto seen = runs.load(); seen < more_than_once;)
    if (runs.compare_exchange_weak(seen, static_cast<std::uint8_t>(seen + 1)))
      return;
}

void run_ledger::forget() {
  for (auto& runs : runs_)
    runs = 0;
  others_ = 0;
}

run_ledger::totals run_ledger::total() const {
  totals all;
  for (const auto& runs : runs_) {
    const auto seen = runs.load();
    all.never += seen == 0 ? 1 : 0;
    all.again += seen == more_than_once ? 1 : 0;
  }
  all.others = others_;
  return all;
}

} // namespace troupe::cli
