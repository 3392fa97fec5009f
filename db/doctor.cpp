#include "db/doctor.hpp"

#include "db/blocking.hpp"
#include "db/conninfo.hpp"
#include "db/statements.hpp"

#include <cstdlib>

namespace troupe::db {

namespace {

/// What the URL or the environment sets hides what the server would.
bool sets_its_own(const connect_options& where) {
  const char* inherited = std::getenv("PGOPTIONS");
  if (inherited != nullptr && *inherited != '\0')
    return true;
  const auto parsed = conninfo::parse(where.url);
  const auto* given = std::get_if<conninfo>(&parsed);
  return given != nullptr && given->find("options") != nullptr;
}

connect_options as_is(const connect_options& where) {
  auto options = where;
  options.application_name = "troupe doctor";
  // Like this nothing is set at the start, so the server's own settings show, and PgBouncer, which
  // takes no settings, lets us in.
  options.pooler = !sets_its_own(where);
  return options;
}

class patient {
public:
  patient(const connect_options& where, const doctor_wishes& wishes)
      : options_(as_is(where)), wishes_(wishes), session_(options_, wishes.check_limit),
        sees_(wishes.connections, sets_its_own(options_)) {}

  doctor_report examined() {
    while (const auto* what = sees_.next()) {
      const std::string name = sees_.name();
      look(name, [&] { ask(*what); });
      if (what == &sql::doctor_server)
        look("pooler", [&] { look_for_pooler(); });
    }
    return sees_.take();
  }

private:
  void ask(const statement& what) {
    // A server that is only slow says so itself, before we give up. Several statements in one
    // message are one transaction, for which this holds.
    const auto limit = wishes_.check_limit * 9 / 10;
    const auto before = std::chrono::system_clock::now();
    const auto asked = std::chrono::steady_clock::now();
    const auto rows = session_.exec("set local statement_timeout = " + std::to_string(limit.count())
                                    + "; " + what.text);
    sees_.saw(rows, {before, std::chrono::steady_clock::now() - asked});
  }

  /// What it cannot see is a finding; a lost connection is not, and says where it was lost.
  template<class Look>
  void look(const std::string& name, Look what) {
    try {
      what();
    } catch (const db_error& problem) {
      auto why = problem.what_failed();
      if (why.code == errc::timed_out && why.poisons_connection)
        why.message = name + ": " + why.message;
      if (why.sqlstate.empty() || why.poisons_connection || !sees_.missed(name, why.message))
        throw db_error(std::move(why));
    }
  }

  /// A pooler that lends sessions for one transaction gives each caller the one that was used last:
  /// two who ask in turn meet in the same session, or find themselves in another one.
  void look_for_pooler() {
    startup_session other{options_, wishes_.check_limit};
    const auto pid_of = [](startup_session& of) {
      return of.exec(sql::doctor_server.text).at(0).at(3);
    };
    const auto first = pid_of(session_);
    const bool moved = pid_of(other) == first || pid_of(session_) != first;
    sees_.add(doctoring::judge_pooler(moved, wishes_.pooler));
  }

  connect_options options_;
  doctor_wishes wishes_;
  startup_session session_;
  examination sees_;
};

} // namespace

doctor_report examine(const connect_options& where, const doctor_wishes& wishes) {
  return patient{where, wishes}.examined();
}

} // namespace troupe::db
