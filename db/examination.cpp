#include "db/examination.hpp"

#include "db/migrate.hpp"
#include "db/statements.hpp"

#include <charconv>
#include <cstdint>
#include <string_view>
#include <utility>

namespace troupe::db {

namespace {

using namespace doctoring;

constexpr std::string_view of_schema = "schema";

std::string text(const std::optional<std::string>& value) {
  return value.value_or("");
}

std::int64_t number(const std::optional<std::string>& value) {
  std::int64_t out = 0;
  if (value)
    std::from_chars(value->data(), value->data() + value->size(), out);
  return out;
}

bool truth(const std::optional<std::string>& value) {
  return value == "true";
}

std::string joined(const examination::text_rows& rows, const char* between) {
  std::string out;
  for (const auto& row : rows)
    out += (out.empty() ? "" : between) + text(row.at(0));
  return out;
}

} // namespace

const std::vector<examination::step>& examination::steps() {
  using self = examination;
  static const std::vector<step> all{
      {"server", &sql::doctor_server, &self::see_server},
      {"settings", &sql::doctor_settings, &self::see_settings},
      {"transactions", &sql::doctor_transactions, &self::see_transactions},
      {"transactions", &sql::doctor_slots, &self::see_slots},
      {"connections", &sql::doctor_connections, &self::see_connections},
      {"vacuum", &sql::doctor_vacuum, &self::see_vacuum},
      {of_schema.data(), &sql::doctor_rights, &self::see_rights},
      {of_schema.data(), &sql::doctor_schema, &self::see_schema},
      {of_schema.data(), &sql::doctor_indexes, &self::see_indexes},
      {of_schema.data(), &sql::doctor_partitions, &self::see_partitions},
  };
  return all;
}

const statement* examination::next() const {
  if (at_ == steps().size() || (name() == of_schema && (!has_schema_ || outdated_)))
    return nullptr;
  return steps()[at_].what;
}

const char* examination::name() const {
  return steps().at(at_).name;
}

void examination::saw(const text_rows& rows, const round_trip& how) {
  (this->*steps().at(at_).judge)(rows, how);
  ++at_;
}

bool examination::missed(const std::string& about, const std::string& why) {
  if (at_ == 0)
    return false;
  add({about, health_status::degraded, "could not be looked at: " + why,
       "grant this user what it lacks, or ask as the owner; if that is not it, look again, then "
       "into "
       "the server's log"});
  while (at_ < steps().size() && about == name())
    ++at_;
  return true;
}

doctor_report examination::take() {
  if (!has_schema_)
    add(judge_missing_schema(may_create_));
  return std::move(report_);
}

void examination::see_server(const text_rows& rows, const round_trip& how) {
  using std::chrono::microseconds;
  const auto& row = rows.at(0);
  const auto latency = std::chrono::duration_cast<microseconds>(how.took);
  const timestamp there{microseconds{number(row.at(5))}};
  const auto middle = std::chrono::time_point_cast<microseconds>(how.asked + how.took / 2);
  report_.server = "PostgreSQL " + text(row.at(0)) + ", database " + text(row.at(1)) + ", user "
                   + text(row.at(2));
  in_recovery_ = truth(row.at(4));
  sees_others_ = truth(row.at(6));
  may_create_ = truth(row.at(7));
  has_schema_ = truth(row.at(8));
  add({"server", health_status::ok, report_.server, {}});
  add(judge_round_trip(latency));
  add(judge_clock(middle - there, latency));
}

void examination::see_settings(const text_rows& rows, const round_trip&) {
  settings found;
  for (const auto& row : rows)
    found[text(row.at(0))] = text(row.at(1));
  add(judge_replication(in_recovery_, found));
  for (auto& each : judge_durability(found))
    add(std::move(each));
  add(judge_encoding(found));
  if (own_settings_)
    add(judge_timeouts(found, *own_settings_));
  autovacuum_ = found["autovacuum"] == "on" && found["track_counts"] == "on";
}

void examination::see_transactions(const text_rows& rows, const round_trip&) {
  std::vector<open_transaction> open;
  for (const auto& row : rows)
    open.push_back({text(row.at(0)), text(row.at(1)), std::chrono::seconds{number(row.at(2))},
                    truth(row.at(3))});
  add(judge_transactions(open, sees_others_));
  add(judge_idle(open));
}

void examination::see_slots(const text_rows& rows, const round_trip&) {
  add(judge_slots(rows.empty() ? "" : text(rows[0].at(0)),
                  rows.empty() ? 0 : number(rows[0].at(1))));
}

void examination::see_connections(const text_rows& rows, const round_trip&) {
  const auto& row = rows.at(0);
  add(judge_connections({{"max_connections", number(row.at(0)), number(row.at(1))},
                         {"the database's connection limit", number(row.at(2)), number(row.at(3))},
                         {"the user's connection limit", number(row.at(4)), number(row.at(5))}},
                        connections_));
}

void examination::see_vacuum(const text_rows& rows, const round_trip&) {
  const auto& row = rows.at(0);
  add(judge_vacuum(autovacuum_, text(row.at(1)), number(row.at(0))));
}

void examination::see_rights(const text_rows& rows, const round_trip&) {
  std::string missing;
  for (const auto& row : rows)
    missing += (missing.empty() ? "" : "; ") + text(row.at(1)) + " on " + text(row.at(0));
  add(judge_rights(missing));
}

void examination::see_schema(const text_rows& rows, const round_trip&) {
  const auto& row = rows.at(0);
  const int newest = migrations().back().number;
  const auto version = number(row.at(0));
  add(judge_version(version, newest));
  outdated_ = version != newest;
  if (!outdated_)
    add(judge_overdue(std::chrono::milliseconds{number(row.at(1))}));
}

void examination::see_indexes(const text_rows& rows, const round_trip&) {
  add(judge_indexes(joined(rows, ", ")));
}

void examination::see_partitions(const text_rows& rows, const round_trip&) {
  for (const auto& row : rows)
    add(judge_partitions(text(row.at(0)), number(row.at(1)), truth(row.at(2))));
}

} // namespace troupe::db
