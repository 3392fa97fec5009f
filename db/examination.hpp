// What a doctor asks a database, one statement after the other, and the findings that come of it:
// without waiting for anything. `troupe doctor` asks over a session of its own (db/doctor), a node
// over its pool (actors/doctor). All columns are texts.
#pragma once

#include "db/doctor_verdicts.hpp"
#include "db/statement.hpp"
#include "messages/doctor.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace troupe::db {

struct doctor_wishes {
  std::size_t connections = 4; ///< that a node will want
  bool pooler = false;         ///< the node is told that there is a pooler in between
  std::chrono::milliseconds check_limit{10'000};
};

class examination {
public:
  using text_row = std::vector<std::optional<std::string>>;
  using text_rows = std::vector<text_row>;
  /// How the question went.
  struct round_trip {
    std::chrono::system_clock::time_point asked;
    std::chrono::nanoseconds took;
  };

  /// `own_settings`: those of the asking session, which would hide what a new one gets; none: they
  /// are a node's, and nothing is said of them.
  examination(std::size_t connections, std::optional<bool> own_settings)
      : connections_(connections), own_settings_(own_settings) {}

  /// What is to be asked now; null: nothing more.
  const statement* next() const;
  /// What the question is about; while there is one.
  const char* name() const;
  /// Its answer.
  void saw(const text_rows& rows, const round_trip& how);
  /// What this is about could not be seen, while the server is well: that is a finding, too, and
  /// nothing more is asked about it. False: nothing can be found out without it.
  bool missed(const std::string& about, const std::string& why);
  void add(doctor_finding found) { report_.findings.push_back(std::move(found)); }
  doctor_report take();

private:
  struct step {
    const char* name;
    const statement* what;
    void (examination::*judge)(const text_rows& rows, const round_trip& how);
  };
  static const std::vector<step>& steps();
  void see_server(const text_rows& rows, const round_trip& how);
  void see_settings(const text_rows& rows, const round_trip& how);
  void see_transactions(const text_rows& rows, const round_trip& how);
  void see_slots(const text_rows& rows, const round_trip& how);
  void see_connections(const text_rows& rows, const round_trip& how);
  void see_vacuum(const text_rows& rows, const round_trip& how);
  void see_rights(const text_rows& rows, const round_trip& how);
  void see_schema(const text_rows& rows, const round_trip& how);
  void see_indexes(const text_rows& rows, const round_trip& how);
  void see_partitions(const text_rows& rows, const round_trip& how);

  std::size_t connections_;
  std::optional<bool> own_settings_;
  doctor_report report_;
  std::size_t at_ = 0;
  bool in_recovery_ = false, sees_others_ = false, may_create_ = false, has_schema_ = true;
  bool autovacuum_ = true, outdated_ = false;
};

} // namespace troupe::db
