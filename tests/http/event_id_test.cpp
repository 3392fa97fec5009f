// Ids of events: read back as they were made, by streams for the same only, and nothing else is
// one.
#include "http/event_id.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <random>

using namespace troupe;
using namespace troupe::http;

namespace {

event_subject some_jobs(std::int64_t count) {
  event_subject out;
  for (std::int64_t i = 1; i <= count; ++i)
    out.jobs.push_back(job_id{i * 7});
  return out;
}

bool url_safe(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'
           || c == '_';
  });
}

} // namespace

BOOST_AUTO_TEST_CASE(what_was_told_comes_back_as_it_was) {
  std::mt19937_64 random{7};
  for (int play = 0; play < 200; ++play) {
    const auto of = some_jobs(1 + static_cast<std::int64_t>(random() % event_bounds::subjects));
    event_position told;
    told.done = random() % 2 == 0;
    for (std::size_t i = 0; i < of.jobs.size(); ++i)
      told.jobs.push_back({random() >> 16U,
                           static_cast<std::int64_t>(random() >> (random() % 63 + 1)),
                           random() % 2 == 0});
    const auto text = make_event_id(told, of);
    BOOST_TEST(url_safe(text));
    BOOST_TEST(text.size() <= event_bounds::id_length);
    const auto back = read_event_id(text, of);
    BOOST_REQUIRE(back.has_value());
    BOOST_TEST(back->done == told.done);
    BOOST_TEST((back->jobs == told.jobs));
  }
  event_position all;
  all.whole = 0xfedcba9876543210;
  const auto back = read_event_id(make_event_id(all, {}), {});
  BOOST_REQUIRE(back.has_value());
  BOOST_TEST(back->whole.value() == *all.whole);
}

BOOST_AUTO_TEST_CASE(the_id_of_one_job_is_short) {
  event_position told;
  told.jobs.push_back({event_digest("{}"), 1'000'000, true});
  BOOST_TEST(make_event_id(told, some_jobs(1)).size() <= 24U);
}

BOOST_AUTO_TEST_CASE(what_was_not_made_for_the_same_is_no_id) {
  const auto of = some_jobs(3);
  event_position told;
  told.jobs.assign(3, {event_digest("a"), 12, false});
  const auto text = make_event_id(told, of);
  BOOST_TEST(read_event_id(text, of).has_value());
  BOOST_TEST(!read_event_id(text, some_jobs(2)).has_value());
  BOOST_TEST(!read_event_id(text, {}).has_value());
  BOOST_TEST(!read_event_id(text, {{}, {"a"}}).has_value());
  BOOST_TEST(!read_event_id("", of).has_value());
  BOOST_TEST(!read_event_id("A", of).has_value());
  BOOST_TEST(!read_event_id(text + "A", of).has_value());
  BOOST_TEST(!read_event_id(text + "=", of).has_value());
  BOOST_TEST(!read_event_id(std::string(event_bounds::id_length + 1, 'A'), of).has_value());
  for (std::size_t i = 0; i < text.size(); ++i) {
    BOOST_TEST(!read_event_id(text.substr(0, i), of).has_value());
    auto other = text;
    other[i] = other[i] == 'A' ? 'B' : 'A';
    BOOST_TEST(!read_event_id(other, of).has_value());
  }
  event_position queues;
  queues.queues.push_back({event_name_hash("a"), event_digest("b")});
  const auto named = make_event_id(queues, {{}, {"a"}});
  BOOST_TEST(read_event_id(named, {{}, {"a"}}).has_value());
  BOOST_TEST(!read_event_id(named, {{}, {"b"}}).has_value());
  BOOST_TEST(!read_event_id(named, {}).has_value());
}

BOOST_AUTO_TEST_CASE(any_bytes_are_read_without_harm) {
  std::mt19937 random{11};
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=%";
  const auto of = some_jobs(2);
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (auto left = random() % 60; left > 0; --left)
      text += alphabet[random() % alphabet.size()];
    BOOST_TEST(!read_event_id(text, of).has_value());
  }
}
