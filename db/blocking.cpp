#include "db/blocking.hpp"

#include "db/connection_impl.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <poll.h>
#include <utility>

namespace troupe::db {

namespace {

/// " (line 12)" when the server says where in `sql` the error is. It counts characters, we bytes:
/// good enough to find the place.
std::string place(const PGresult* raw, const std::string& sql) {
  const char* text = PQresultErrorField(raw, PG_DIAG_STATEMENT_POSITION);
  std::size_t position = 0;
  if (!text || sql.find('\n') == std::string::npos
      || std::from_chars(text, text + std::strlen(text), position).ec != std::errc{})
    return {};
  auto stop = sql.begin() + static_cast<std::ptrdiff_t>(std::min(position, sql.size()));
  return " (line " + std::to_string(1 + std::count(sql.begin(), stop, '\n')) + ")";
}

db_failure failure_of(PGconn* connection, const PGresult* raw, const std::string& sql) {
  auto error = error_of(raw);
  error.message += place(raw, sql);
  if (error.sqlstate.empty())
    return lost_after_sending({}, one_line(PQerrorMessage(connection)));
  return classify(error, {});
}

void wait_for(int fd, short events, std::chrono::steady_clock::time_point deadline) {
  auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  pollfd watched{fd, events, 0};
  // Whatever wakes us, the next step finds out why.
  ::poll(&watched, 1, static_cast<int>(std::max<long>(left.count(), 0)));
}

} // namespace

startup_session::startup_session(const connect_options& options) {
  dial way{options};
  for (;;) {
    switch (way.step()) {
    case connecting::want::read:
      wait_for(way.socket(), POLLIN, way.deadline());
      break;
    case connecting::want::write:
      wait_for(way.socket(), POLLOUT, way.deadline());
      break;
    case connecting::want::failed:
      throw db_error(way.failure());
    case connecting::want::done:
      raw_ = way.take();
      return;
    }
  }
}

startup_session::startup_session(const connect_options& options, std::chrono::milliseconds patience)
    : startup_session(options) {
  patience_ = patience;
}

/// The last of several, as PQexec has it; null when there is none.
PGresult* startup_session::answer_to(const std::string& sql) {
  if (!patience_)
    return PQexec(raw_.get(), sql.c_str());
  const auto deadline = std::chrono::steady_clock::now() + *patience_;
  result_handle last;
  if (PQsendQuery(raw_.get(), sql.c_str()) != 1)
    return nullptr;
  for (;;) {
    while (PQisBusy(raw_.get()) != 0) {
      if (std::chrono::steady_clock::now() >= deadline) {
        auto why = lost_after_sending(
            {}, "the server took the question and did not answer within "
                    + std::to_string(patience_->count() / 1000)
                    + " s: it stands still, or the network swallows what it says");
        why.code = errc::timed_out;
        throw db_error(std::move(why));
      }
      wait_for(PQsocket(raw_.get()), POLLIN, deadline);
      if (PQconsumeInput(raw_.get()) != 1)
        return nullptr;
    }
    auto* next = PQgetResult(raw_.get());
    if (next == nullptr)
      return last.release();
    last.reset(next);
  }
}

std::vector<startup_session::text_row> startup_session::exec(const std::string& sql) {
  const result_handle raw{answer_to(sql)};
  switch (PQresultStatus(raw.get())) {
  case PGRES_TUPLES_OK:
  case PGRES_COMMAND_OK:
  case PGRES_EMPTY_QUERY:
    break;
  default:
    throw db_error(failure_of(raw_.get(), raw.get(), sql));
  }
  std::vector<text_row> rows;
  for (int i = 0; i < PQntuples(raw.get()); ++i) {
    text_row values;
    for (int j = 0; j < PQnfields(raw.get()); ++j) {
      if (PQgetisnull(raw.get(), i, j))
        values.emplace_back(std::nullopt);
      else
        values.emplace_back(PQgetvalue(raw.get(), i, j));
    }
    rows.push_back(std::move(values));
  }
  return rows;
}

std::optional<std::string> startup_session::value(const std::string& sql) {
  auto rows = exec(sql);
  if (rows.size() != 1 || rows[0].empty()) {
    db_failure why;
    why.code = errc::internal;
    why.message = "one value was expected of: " + sql;
    throw db_error(std::move(why));
  }
  return rows[0][0];
}

std::string startup_session::quote(const std::string& text) const {
  std::unique_ptr<char, void (*)(void*)> quoted{
      PQescapeLiteral(raw_.get(), text.data(), text.size()), PQfreemem};
  if (!quoted) {
    db_failure why;
    why.code = errc::invalid_argument;
    why.message = one_line(PQerrorMessage(raw_.get()));
    throw db_error(std::move(why));
  }
  return quoted.get();
}

} // namespace troupe::db
