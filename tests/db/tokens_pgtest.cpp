// Bearer tokens: found by their hash only, live until the database's clock or a revocation says
// otherwise, and told of when they are revoked. Random tokens beside a model; TROUPE_SEED repeats.
#include "db/ask_once.hpp"
#include "db/token_statements.hpp"
#include "db/wakes.hpp"
#include "tests/db/desk.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

const db::statement fence{"fence", "select pg_notify('troupe', 'fence')"};

std::string hash_of(int which) {
  std::string hash(32, '\0');
  for (int i = 0; i < 4; ++i)
    hash[static_cast<std::size_t>(i)] = static_cast<char>((which >> (8 * i)) & 255);
  return hash;
}

struct with_tokens : jobs_database {
  desk other{database.url()};

  token_record make(int which, role may = role::producer, std::vector<std::string> queues = {},
                    std::optional<std::chrono::milliseconds> valid_for = {},
                    const std::string& name = "ci", asker by = {}) {
    return db::decode_token(at.ask(db::create_token_query(
        {name, "trp_abcd1234", hash_of(which), may, std::move(queues), valid_for, std::move(by)})));
  }
  /// The sentence of a refusal.
  template<class Make>
  std::string wrong(Make make) {
    try {
      make();
    } catch (const refused& e) {
      BOOST_TEST(is_invalid(e));
      return e.what();
    }
    return "accepted";
  }
  static std::optional<found_token> find(desk& by, int which) {
    return db::decode_found_token(by.ask(db::find_token_query({hash_of(which)})));
  }
  std::optional<found_token> find(int which) { return find(at, which); }
  timestamp revoke(std::int64_t id) {
    return *db::decode_token(at.ask(db::revoke_token_query({id}))).revoked_at;
  }
  std::vector<token_record> list(std::int64_t after = 0, int limit = 100) {
    const list_tokens ask{after, limit};
    return db::decode_tokens(at.ask(db::tokens_query(ask)), ask).tokens;
  }
  void expire(std::int64_t id, const std::string& ago = "1 second") const {
    database.exec("update troupe.token set created_at = now() - interval '1 year', expires_at = "
                  "now() - interval '"
                  + ago + "' where id = " + std::to_string(id));
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(tokens, with_tokens)

BOOST_AUTO_TEST_CASE(a_token_is_found_by_its_hash_with_role_and_queues) {
  const auto made = make(1, role::producer, {"mail", "a", "mail"}, 1h);
  BOOST_TEST((made.queues == std::vector<std::string>{"a", "mail"}));
  BOOST_TEST(made.hint == "trp_abcd1234");
  BOOST_TEST((*made.expires_at - made.created_at == 1h));
  BOOST_TEST(!made.last_used_on.has_value());
  const auto found = find(1);
  BOOST_REQUIRE(found.has_value());
  BOOST_TEST(found->id == made.id);
  BOOST_TEST(found->name == "ci");
  BOOST_TEST((found->may == role::producer));
  BOOST_TEST((found->queues == made.queues));
  BOOST_TEST((found->standing == token_standing::live));
  BOOST_TEST((found->left > 0ms && found->left <= 1h));
  BOOST_TEST(!find(2).has_value());
  const auto all = make(2, role::admin);
  BOOST_TEST((!all.expires_at && all.queues.empty()));
  BOOST_TEST(!find(2)->left.has_value());
}

BOOST_AUTO_TEST_CASE(no_two_tokens_have_the_same_hash) {
  make(1);
  BOOST_CHECK_EXCEPTION(make(1, role::viewer), refused, is_conflict);
  BOOST_TEST((find(1)->may == role::producer));
}

BOOST_AUTO_TEST_CASE(what_no_token_can_have_is_refused_by_name) {
  const std::vector<std::string> many(101, "q");
  BOOST_TEST(wrong([&] { make(1, role::anyone); }).starts_with("role: "));
  BOOST_TEST(wrong([&] { make(1, role::viewer, {}, 0ms); }).starts_with("expires_in: "));
  BOOST_TEST(wrong([&] { make(1, role::viewer, {}, 24h * 3651); }).starts_with("expires_in: "));
  BOOST_TEST(wrong([&] { make(1, role::admin, {"q"}); }).starts_with("queues: "));
  BOOST_TEST(wrong([&] { make(1, role::viewer, many); }).starts_with("queues: "));
  BOOST_TEST(wrong([&] {
               make(1, role::viewer, {"q", "a b"});
             })
             == "queues: no queue can be called 'a b'");
  BOOST_TEST(wrong([&] { make(1, role::viewer, {}, {}, "a b"); }).starts_with("name: "));
  BOOST_TEST(list().empty());
}

BOOST_AUTO_TEST_CASE(a_token_ends_by_the_clock_of_the_database) {
  const auto made = make(1, role::viewer, {}, 1h);
  expire(made.id);
  const auto found = find(1);
  BOOST_TEST((found->standing == token_standing::expired));
  BOOST_TEST((found->left == 0ms));
  BOOST_TEST(!list().at(0).last_used_on.has_value());
  BOOST_TEST((list().at(0).standing == token_standing::expired));
}

BOOST_AUTO_TEST_CASE(a_revoked_token_stays_revoked_from_the_first_time_on) {
  const auto made = make(1);
  const auto first = revoke(made.id);
  BOOST_TEST((revoke(made.id) == first));
  BOOST_TEST((find(1)->standing == token_standing::revoked));
  BOOST_TEST((list().at(0).revoked_at == first));
  BOOST_CHECK_EXCEPTION(revoke(made.id + 1), refused, is_not_found);
}

BOOST_AUTO_TEST_CASE(a_lookup_that_waited_for_a_revocation_sees_it) {
  const auto made = make(1);
  at.begin();
  revoke(made.id);
  other.send(db::find_token_query({hash_of(1)}));
  BOOST_TEST(other.waits(database));
  at.commit();
  const auto outcome = other.later();
  const auto found = db::decode_found_token(std::get<db::result>(outcome));
  BOOST_TEST((found->standing == token_standing::revoked));
  BOOST_TEST(!list().at(0).last_used_on.has_value());
}

BOOST_AUTO_TEST_CASE(a_revocation_is_told_when_it_is_committed) {
  desk node{database.url()};
  node.ask(db::listen_query());
  const auto heard = [&] {
    node.ask(db::query{fence});
    std::vector<std::string> all;
    for (;;) {
      while (auto note = node.on.next_notification()) {
        if (note->payload == "fence")
          return all;
        all.push_back(note->payload);
      }
      step(node.on);
    }
  };
  const auto made = make(1);
  at.begin();
  revoke(made.id);
  BOOST_TEST(heard().empty());
  at.commit();
  BOOST_TEST((heard() == std::vector<std::string>{"token " + std::to_string(made.id)}));
}

BOOST_AUTO_TEST_CASE(one_is_made_over_a_connection_of_its_own) {
  db::connect_options where;
  where.url = database.url();
  const auto ask = [&](const db::query& what) { return db::ask_once(where, what); };
  const create_token wanted{"ci", "trp_abcd1234", hash_of(1), role::admin};
  const auto made = db::decode_token(ask(db::create_token_query(wanted)));
  BOOST_TEST(find(1)->id == made.id);
  const auto is_second = [](const db::db_error& e) {
    return e.what_failed().code == errc::conflict;
  };
  BOOST_CHECK_EXCEPTION(ask(db::create_token_query(wanted)), db::db_error, is_second);
  where.url = "postgresql://127.0.0.1:9/nowhere";
  const auto is_away = [](const db::db_error& e) {
    return e.what_failed().code == errc::unavailable;
  };
  BOOST_CHECK_EXCEPTION(ask(db::create_token_query(wanted)), db::db_error, is_away);
}

BOOST_AUTO_TEST_CASE(an_answer_that_does_not_come_is_given_up) {
  db::connect_options where;
  where.url = database.url();
  at.begin();
  const auto made = make(1);
  const auto waits = [](const db::db_error& e) {
    return e.what_failed().code == errc::outcome_unknown;
  };
  const create_token second{"ci", "trp_abcd1234", hash_of(2), role::viewer};
  BOOST_CHECK_EXCEPTION(db::ask_once(where, db::create_token_query(second), 1ms), db::db_error,
                        waits);
  at.rollback();
  BOOST_TEST(made.id > 0);
}

BOOST_AUTO_TEST_CASE(a_use_is_noted_once_a_day) {
  make(1);
  find(1);
  const auto written = [&] {
    return database.value("select xmin || ' ' || ctid from troupe.token");
  };
  const auto first = written();
  find(1);
  BOOST_TEST(written() == first);
  BOOST_TEST(list().at(0).last_used_on.has_value());
  database.exec("update troupe.token set last_used_on = last_used_on - 1");
  const auto before = list().at(0).last_used_on;
  find(1);
  BOOST_TEST((list().at(0).last_used_on > before));
}

BOOST_AUTO_TEST_CASE(tokens_are_bounded_and_the_dead_make_room) {
  database.exec(
      "insert into troupe.token (hash, name, hint, role) select sha256(i::text::bytea), 'x',"
      " 'trp_abcd1234', 'viewer' from generate_series(1, 10000) i");
  BOOST_CHECK_EXCEPTION(make(1), refused, is_conflict);
  const auto ids = list(0, 2);
  revoke(ids.at(0).id);
  expire(ids.at(1).id, "89 days");
  BOOST_CHECK_EXCEPTION(make(1), refused, is_conflict);
  expire(ids.at(1).id, "91 days");
  make(1);
  BOOST_TEST(list(0, 2).at(1).id > ids.at(1).id);
  BOOST_TEST(database.value("select count(*) from troupe.token") == "10000");
}

BOOST_AUTO_TEST_CASE(random_tokens_are_found_as_a_model_has_them) {
  const char* given = std::getenv("TROUPE_SEED");
  const auto seed = given ? static_cast<unsigned>(std::stoul(given)) : std::random_device{}();
  BOOST_TEST_CONTEXT("TROUPE_SEED=" << seed) {
    std::mt19937 random{seed};
    const auto pick = [&](int below) {
      return static_cast<int>(random() % static_cast<unsigned>(below));
    };
    std::map<int, token_record> model; // by hash
    for (int i = 0; i < 300; ++i) {
      const int which = pick(40);
      const auto known = model.find(which);
      if (known == model.end()) {
        if (pick(2) == 0)
          model[which] = make(which, pick(2) == 0 ? role::worker : role::operator_, {}, 1h);
        else
          BOOST_TEST(!find(which).has_value());
        continue;
      }
      auto& token = known->second;
      if (const int what = pick(6); what == 0) {
        revoke(token.id);
        token.standing = token_standing::revoked;
      } else if (what == 1) {
        expire(token.id);
        if (token.standing == token_standing::live)
          token.standing = token_standing::expired;
      }
      const auto found = find(pick(2) == 0 ? at : other, which);
      BOOST_REQUIRE(found.has_value());
      BOOST_TEST(found->id == token.id);
      BOOST_TEST((found->may == token.may));
      BOOST_TEST((found->standing == token.standing));
    }
    const auto all = list();
    BOOST_TEST(all.size() == model.size());
    for (const auto& known : model) {
      const auto same = [&known](const token_record& one) {
        return one.id == known.second.id && one.standing == known.second.standing;
      };
      BOOST_TEST(std::count_if(all.begin(), all.end(), same) == 1);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
