// Exports of jobs: what is asked, and a text that comes piece by piece, read when it is asked for.
#pragma once

#include "messages/errc.hpp"
#include "messages/job.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

namespace troupe {

namespace limits {
constexpr std::int64_t export_jobs = 1'000'000'000; ///< that an export may be limited to
} // namespace limits

enum class export_format : std::uint8_t { ndjson, csv, json };

struct export_jobs {
  job_filter filter = {};
  export_format format = export_format::ndjson;
  std::optional<std::int64_t> limit = {}; ///< the oldest ones
};

class text_source {
public:
  /// Bytes, perhaps none; nothing at the end. After a failure what came before is incomplete.
  using piece = std::variant<std::optional<std::string>, failure>;

  /// Destroyed early, it ends whatever makes the text. An answer may still come, to nobody's use.
  virtual ~text_source() = default;
  /// One call at a time; none after the end. The callback comes at most once, on any thread, and
  /// may be dropped when what makes the text has ended.
  virtual void next(std::function<void(piece)> reply) = 0;
};

/// Any thread may call.
class export_port {
public:
  virtual ~export_port() = default;
  /// One snapshot, as of the first piece. Holds a connection of its own until its end.
  virtual std::unique_ptr<text_source> jobs(const export_jobs& what) = 0;
};

} // namespace troupe
