#include "db/stored_export_statements.hpp"

#include "db/json_text.hpp"
#include "db/statements.hpp"

#include <array>
#include <limits>
#include <utility>

namespace troupe::db {

namespace {

constexpr std::array<std::pair<std::string_view, export_format>, 3> formats{
    {{"ndjson", export_format::ndjson},
     {"csv", export_format::csv},
     {"json", export_format::json}}};
constexpr std::array<std::pair<std::string_view, chunk_fate>, 4> fates{
    {{"kept", chunk_fate::kept},
     {"late", chunk_fate::late},
     {"file", chunk_fate::file_too_long},
     {"sum", chunk_fate::no_room}}};

std::string args_of(const export_order& order) {
  object_text out;
  for (const auto& [word, format] : formats)
    if (format == order.what.format)
      out.text("format", word);
  out.text("compression", order.gzip ? "gzip" : "none").filter(order.what.filter);
  if (order.what.limit)
    out.raw("limit", std::to_string(*order.what.limit));
  return out.take();
}

/// Eleven columns from `first` on: format, compression, limit, and the filter's.
export_order order_of(const row& from, int first) {
  export_order out;
  const auto word = from.get<std::string>(first);
  bool known = false;
  for (const auto& [text, format] : formats)
    if (text == word) {
      out.what.format = format;
      known = true;
    }
  if (!known)
    throw decode_error("an export cannot have the format '" + word + "'");
  out.gzip = from.get<std::string>(first + 1) == "gzip";
  out.what.limit = from.get<std::optional<std::int64_t>>(first + 2);
  auto& filter = out.what.filter;
  if (const auto state = from.get<std::optional<std::string>>(first + 3))
    filter.state = parse_job_state(*state);
  filter.queue = from.get<std::optional<std::string>>(first + 4);
  filter.kind = from.get<std::optional<std::string>>(first + 5);
  filter.tags = from.get<std::vector<std::string>>(first + 6);
  filter.limit_key = from.get<std::optional<std::string>>(first + 7);
  filter.created_from = from.get<std::optional<timestamp>>(first + 8);
  filter.created_before = from.get<std::optional<timestamp>>(first + 9);
  filter.args = from.get<std::optional<std::string>>(first + 10).value_or("");
  return out;
}

export_record record_of(const row& from) {
  export_record out;
  out.id = job_id{from.get<std::int64_t>(0)};
  out.created_at = from.get<timestamp>(1);
  out.order = order_of(from, 2);
  const auto state = parse_job_state(from.get<std::string>(13));
  if (!state)
    throw decode_error("a job cannot be '" + from.get<std::string>(13) + "'");
  out.state = *state;
  out.attempt = from.get<std::int16_t>(14);
  out.message = from.get<std::optional<std::string>>(15).value_or("");
  out.error = from.get<std::optional<std::string>>(16).value_or("");
  if (from.get<std::optional<bool>>(17).value_or(false)) {
    auto& file = out.file.emplace();
    file.attempt = out.attempt;
    file.bytes = from.get<std::int64_t>(18);
    file.rows = from.get<std::int64_t>(19);
    file.sha256 = from.get<std::string>(20);
    file.finished_at = from.get<timestamp>(21);
    file.expires_at = from.get<timestamp>(22);
  }
  return out;
}

std::string bytes_of(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    out += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
  return out;
}

constexpr std::int64_t newest = std::numeric_limits<std::int64_t>::max();

} // namespace

query start_export_query(const export_order& order, const std::string& key,
                         const export_bounds& bounds) {
  query q{sql::export_start};
  q.bind_jsonb(args_of(order)).bind(key.empty() ? std::optional<std::string>{} : key);
  q.bind(bounds.kept).bind(bounds.all_bytes);
  return q;
}

started_export decode_started_export(const result& rows) {
  const auto from = rows.one();
  return {job_id{from.get<std::optional<std::int64_t>>(0).value_or(0)},
          static_cast<key_use>(from.get<std::int16_t>(1))};
}

query exports_query(const list_exports& ask) {
  query q{sql::export_list};
  q.bind(ask.before.value > 0 ? ask.before.value : newest).bind_null<std::int64_t>();
  q.bind(ask.queue).bind(ask.limit);
  return q;
}

query find_export_query(job_id id) {
  query q{sql::export_list};
  q.bind(newest).bind(id.value).bind_null<std::string>().bind(1);
  return q;
}

export_page decode_exports(const result& rows, int limit) {
  export_page page;
  for (int i = 0; i < rows.rows(); ++i)
    page.exports.push_back(record_of(rows[i]));
  if (rows.rows() >= limit && !page.exports.empty())
    page.next = page.exports.back().id;
  return page;
}

query begin_export_query(job_id id, int attempt) {
  query q{sql::export_begin};
  q.bind(id.value).bind(static_cast<std::int16_t>(attempt));
  return q;
}

std::optional<export_order> decode_export_order(const result& rows) {
  if (rows.empty())
    return std::nullopt;
  return order_of(rows.one(), 0);
}

query put_export_query(job_id id, int attempt, int nth, std::string_view bytes,
                       const export_bounds& bounds) {
  query q{sql::export_put};
  q.bind(id.value).bind(static_cast<std::int16_t>(attempt)).bind(nth).bind_bytes(bytes);
  q.bind(bounds.file_bytes).bind(bounds.all_bytes);
  return q;
}

chunk_fate decode_chunk_fate(const result& rows) {
  const auto word = rows.one().get<std::string>(0);
  for (const auto& [text, fate] : fates)
    if (text == word)
      return fate;
  throw decode_error("a chunk cannot be '" + word + "'");
}

query keep_export_query(job_id id, const stored_file& file, const export_bounds& bounds) {
  query q{sql::export_keep};
  q.bind(id.value).bind(static_cast<std::int16_t>(file.attempt)).bind(file.bytes).bind(file.rows);
  q.bind_bytes(bytes_of(file.sha256)).bind(bounds.life);
  return q;
}

query read_export_query(job_id id, int attempt, std::int64_t from, int limit) {
  query q{sql::export_read};
  q.bind(id.value).bind(static_cast<std::int16_t>(attempt)).bind(from).bind(limit);
  return q;
}

std::optional<std::string> decode_export_bytes(const result& rows) {
  return rows.one().get<std::optional<std::string>>(0);
}

} // namespace troupe::db
