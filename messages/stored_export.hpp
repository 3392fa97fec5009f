// Exports that are kept: asked for once, made by a job on any node, read from every node as often
// as one likes while they last.
#pragma once

#include "messages/crawl.hpp"
#include "messages/handler.hpp"
#include "messages/job_export.hpp"
#include "messages/requests.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

namespace limits {
constexpr std::size_t export_chunk = 256UL * 1024; ///< bytes; the schema knows it, too
constexpr int export_page = 100;                   ///< exports of one page
} // namespace limits

inline constexpr const char* export_kind = "troupe.export";
inline constexpr const char* export_queue = "troupe.exports";

/// What all nodes of a database keep together.
struct export_bounds {
  std::int64_t file_bytes = 4LL * 1024 * 1024 * 1024; ///< above: the job is discarded
  /// Of all files, and of what is being written: at that nothing is put in, above a run is
  /// discarded. Looked at for every 4 MiB, so each run may write as much beyond it.
  std::int64_t all_bytes = 16LL * 1024 * 1024 * 1024;
  int kept = 100;              ///< files and exports that wait or run; then nothing is put in
  std::chrono::hours life{24}; ///< of a file, from its end
};

/// What is to be exported, and how it is kept.
struct export_order {
  export_jobs what;
  bool gzip = false;
};

/// A file that is there.
struct stored_file {
  int attempt = 0;
  std::int64_t bytes = 0;
  std::int64_t rows = 0; ///< jobs
  std::string sha256;    ///< hex
  timestamp finished_at;
  timestamp expires_at;
};

struct export_record {
  job_id id; ///< its job's
  timestamp created_at;
  export_order order;
  job_state state = job_state::available;
  int attempt = 0;
  std::string message; ///< of its progress
  std::string error;   ///< of the last attempt that has ended
  std::optional<stored_file> file;
};
struct export_page {
  std::vector<export_record> exports; ///< newest first
  std::optional<job_id> next;
};

struct list_exports {
  std::optional<std::string> queue; ///< exports of this queue's jobs
  job_id before;                    ///< 0: from the newest
  int limit = 50;
};

struct started_export {
  job_id id; ///< 0 when its key was refused
  key_use use = key_use::none;
};

/// What became of one more chunk.
enum class chunk_fate : std::uint8_t {
  kept,
  late,          ///< the run's outcome is written already
  file_too_long, ///< export_bounds::file_bytes
  no_room,       ///< export_bounds::all_bytes
};

/// Any thread may call; answers come on an actor's thread, each once.
class stored_export_port {
public:
  virtual ~stored_export_port() = default;

  // For whoever asks for exports.
  /// errc::conflict when as much is kept as may be.
  virtual void start(export_order order, std::string idempotency_key,
                     on_result<started_export> reply) = 0;
  virtual void list(list_exports what, on_result<export_page> reply) = 0;
  /// errc::not_found.
  virtual void find(job_id id, on_result<export_record> reply) = 0;
  /// The bytes of a file from `begin` up to `end`, in pieces of at most 64 KiB; a failure when they
  /// are not all there. Holds no connection between two pieces.
  virtual std::unique_ptr<text_source> read(job_id id, const stored_file& file, std::int64_t begin,
                                            std::int64_t end) = 0;

  // For the runs of its jobs.
  /// Nothing when the run is late, or its job was not put in by start().
  virtual void begin(job_id id, int attempt, on_result<std::optional<export_order>> reply) = 0;
  /// The chunks in their order, from 0, all of limits::export_chunk bytes but the last.
  virtual void put(job_id id, int attempt, int nth, std::string bytes,
                   on_result<chunk_fate> reply) = 0;
  /// Into the run's own transaction: it is kept if, and when, the run is completed. The times of
  /// the file are the database's.
  virtual void keep(job_run_ptr run, stored_file file, on_result<bool> reply) = 0;
};

} // namespace troupe
