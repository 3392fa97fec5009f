#include "actors/job_export.hpp"

#include "actors/foreign_thread.hpp"
#include "actors/unit_of_work.hpp"
#include "db/export_statements.hpp"

#include <caf/send.hpp>

#include <utility>

namespace troupe {

namespace {

/// Longer than HTTP lets a reader take for one piece, so that HTTP says why; shorter than a loan.
constexpr std::chrono::seconds reader_limit{45};
/// Its snapshot keeps dead rows from being cleared away for so long at most.
constexpr std::chrono::hours longest{24};

/// What the unit has told. Written and read on its thread, answer by answer.
struct heard {
  explicit heard(export_format f) : format(f) {}

  /// Of an array the first comma becomes its bracket.
  std::string piece(std::string rows) {
    if (format == export_format::json && !std::exchange(begun, true))
      rows.front() = '[';
    return rows;
  }
  text_source::piece end() {
    if (format != export_format::json || std::exchange(closed, true))
      return std::optional<std::string>{};
    return std::optional<std::string>{begun ? "]\n" : "[]\n"};
  }

  export_format format;
  bool begun = false;
  bool closed = false;
  std::optional<failure> wrong; ///< before the COPY
  std::optional<std::variant<failure, db::work_reply>> ended;
};

text_source::piece to_piece(heard& known, std::variant<failure, db::work_reply> told) {
  if (std::holds_alternative<failure>(told) && known.ended)
    told = *known.ended; // that is why there is no next one
  if (auto* why = std::get_if<failure>(&told))
    return known.wrong ? *known.wrong : std::move(*why);
  auto* rows = std::get_if<std::string>(&std::get<db::work_reply>(told));
  if (rows == nullptr)
    return known.end();
  return std::optional<std::string>{known.piece(std::move(*rows))};
}

class copied_jobs final : public text_source {
public:
  copied_jobs(caf::actor_system& system, const work_peers& peers, const export_jobs& what)
      : unit_(begin(system, peers)), heard_(std::make_shared<heard>(what.format)) {
    ask(db::run_query{db::export_plans_query()}, [heard = heard_](const work_answer& told) {
      if (const auto* why = std::get_if<failure>(&told.outcome))
        heard->wrong = *why;
    });
    ask(db::copy_rows{db::export_query(what), false, 1},
        [heard = heard_](const work_answer& told) { heard->ended = told.outcome; });
  }
  copied_jobs(const copied_jobs&) = delete;
  copied_jobs& operator=(const copied_jobs&) = delete;
  ~copied_jobs() override { caf::anon_send(unit_, halt_atom_v); }

  void next(std::function<void(piece)> reply) override {
    ask(db::copy_step{1, db::copy_step::kind::next},
        [heard = heard_, reply = std::move(reply)](work_answer told) {
          reply(to_piece(*heard, std::move(told.outcome)));
        });
  }

private:
  static unit_of_work_actor begin(caf::actor_system& system, const work_peers& peers) {
    const foreign_thread here;
    work_options options;
    options.idle_timeout = reader_limit;
    options.max_duration = longest;
    options.resolve = false;
    return system.spawn(unit_of_work, peers, options);
  }
  void ask(db::work_request what, std::function<void(work_answer)> then) const {
    caf::anon_send(unit_, std::make_shared<work_call>(std::move(what), 0, std::move(then)));
  }

  unit_of_work_actor unit_;
  std::shared_ptr<heard> heard_;
};

class actor_export_port final : public export_port {
public:
  actor_export_port(caf::actor_system& system, work_peers work)
      : system_(&system), work_(std::move(work)) {}

  std::unique_ptr<text_source> jobs(const export_jobs& what) override {
    return std::make_unique<copied_jobs>(*system_, work_, what);
  }

private:
  caf::actor_system* system_;
  work_peers work_;
};

} // namespace

std::unique_ptr<export_port> make_export_port(caf::actor_system& system, work_peers work) {
  return std::make_unique<actor_export_port>(system, std::move(work));
}

} // namespace troupe
