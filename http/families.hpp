// What the families of /metrics are made of.
#pragma once

#include "messages/database_metrics.hpp"

#include <prometheus/metric_family.h>

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace troupe::http {

using families = std::vector<prometheus::MetricFamily>;
using labels = std::vector<prometheus::ClientMetric::Label>;

inline void add_value(prometheus::MetricFamily& to, double value, labels with = {}) {
  prometheus::ClientMetric metric;
  if (to.type == prometheus::MetricType::Counter)
    metric.counter.value = value;
  else
    metric.gauge.value = value;
  metric.label = std::move(with);
  to.metric.push_back(std::move(metric));
}

/// The count is that of the buckets as they were read, so that the text never contradicts itself
/// while others go on counting.
template<std::size_t N>
prometheus::ClientMetric histogram_of(const std::array<std::uint32_t, N>& bounds_us,
                                      const std::array<std::uint64_t, N + 1>& counts,
                                      std::uint64_t sum_us) {
  prometheus::ClientMetric metric;
  auto& out = metric.histogram;
  for (std::size_t i = 0; i < N; ++i) {
    out.sample_count += counts[i];
    out.bucket.push_back({out.sample_count, bounds_us[i] / 1e6});
  }
  out.sample_count += counts.back();
  out.sample_sum = static_cast<double>(sum_us) / 1e6;
  return metric;
}

template<std::uint32_t... Bounds>
void add_histogram(prometheus::MetricFamily& to, const duration_histogram<Bounds...>& from,
                   labels with) {
  std::array<std::uint64_t, sizeof...(Bounds) + 1> counts{};
  for (std::size_t i = 0; i < counts.size(); ++i)
    counts[i] = from.count(i);
  prometheus::ClientMetric metric = histogram_of(from.bounds_us, counts, from.sum_us());
  metric.label = std::move(with);
  to.metric.push_back(std::move(metric));
}

/// Prometheus wants no family without a sample.
inline void add_filled(families& out, prometheus::MetricFamily family) {
  if (!family.metric.empty())
    out.push_back(std::move(family));
}

} // namespace troupe::http
