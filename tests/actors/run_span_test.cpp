// What spans say of runs: of the same trace as their job, one for each attempt, with what became of
// it. And who makes none.
#include "actors/run_span.hpp"
#include "tests/actors/executor_fixture.hpp"

using namespace troupe;
using namespace troupe::tests;

namespace {

const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string sampled = "00-" + trace + "-00f067aa0ba902b7-01";
const std::string unsampled = "00-" + trace + "-00f067aa0ba902b7-00";

struct kept_spans : span_sink {
  explicit kept_spans(double sample_ratio = 1) : span_sink(sample_ratio) {}
  std::size_t room() const override { return most; }
  void lose(std::size_t count) override { lost += count; }
  void add(std::vector<span> ended) override {
    ++calls;
    all.insert(all.end(), ended.begin(), ended.end());
  }
  int calls = 0;
  std::size_t most = 100;
  std::size_t lost = 0;
  std::vector<span> all;
};

std::shared_ptr<const work_peers> peers_with(span_sink* sink) {
  auto out = std::make_shared<work_peers>();
  out->spans = sink;
  return out;
}

struct traced_system {
  explicit traced_system(double sample_ratio = 1) : spans(sample_ratio) {}
  kept_spans spans;
  executor_system system{queue_slots::max_prefetch, peers_with(&spans)};

  void take(const std::vector<std::string>& traces, const std::string& kind = "hold") {
    auto given = executor_system::batch_of(kind, lease_id{7}, static_cast<int>(traces.size()));
    for (std::size_t i = 0; i < traces.size(); ++i)
      given.jobs[i]->traceparent = traces[i];
    system.take(std::move(given));
  }
};

template<class T>
T attribute(const span& of, std::string_view name) {
  for (const auto& [key, value] : of.attributes)
    if (key == name)
      return std::get<T>(value);
  BOOST_FAIL("there is no attribute " << name);
  return {};
}

std::string told_outcome(const span& of) {
  return attribute<std::string>(of, "troupe.outcome");
}

} // namespace

BOOST_FIXTURE_TEST_CASE(a_run_is_a_child_of_what_put_its_job_in, traced_system) {
  take({sampled});
  const auto own = parse_traceparent(system.started.at(0).first->traceparent);
  BOOST_REQUIRE(own.has_value());
  BOOST_TEST(own->trace_id == trace);
  BOOST_TEST(own->span_id != "00f067aa0ba902b7");
  system.finish(0);
  BOOST_TEST(spans.all.empty()); // its outcome is not stored yet
  system.answer_writes();
  BOOST_REQUIRE(spans.all.size() == 1);
  const auto& made = spans.all.front();
  BOOST_TEST(made.self.trace_id == trace);
  BOOST_TEST(made.self.span_id == own->span_id);
  BOOST_TEST(made.parent == "00f067aa0ba902b7");
  BOOST_TEST(made.name == "run hold");
  BOOST_TEST((made.kind == span_kind::consumer));
  BOOST_TEST((made.start <= made.end));
  BOOST_TEST(!made.failed);
  BOOST_TEST(attribute<std::string>(made, "messaging.system") == "troupe");
  BOOST_TEST(attribute<std::string>(made, "messaging.destination.name") == "q");
  BOOST_TEST(attribute<std::int64_t>(made, "troupe.job.id") == 700);
  BOOST_TEST(attribute<std::int64_t>(made, "troupe.job.attempt") == 1);
  BOOST_TEST(told_outcome(made) == "completed");
}

BOOST_FIXTURE_TEST_CASE(a_run_whose_trace_is_not_sampled_makes_none, traced_system) {
  take({unsampled});
  const auto given = parse_traceparent(system.started.at(0).first->traceparent);
  BOOST_REQUIRE(given.has_value()); // its ids go on
  BOOST_TEST(given->trace_id == trace);
  BOOST_TEST(given->span_id != "00f067aa0ba902b7");
  BOOST_TEST(!given->sampled());
  system.finish_all();
  system.answer_writes();
  BOOST_TEST(spans.calls == 0);
}

BOOST_FIXTURE_TEST_CASE(runs_without_a_trace_begin_one_each, traced_system) {
  take({"", ""});
  std::set<std::string> traces;
  for (const auto& [run, answer] : system.started)
    traces.insert(run->traceparent);
  BOOST_TEST(traces.size() == 2);
  system.finish_all();
  system.answer_writes();
  BOOST_REQUIRE(spans.all.size() == 2);
  for (const auto& made : spans.all) {
    BOOST_TEST(traces.count(to_traceparent(made.self)) == 1);
    BOOST_TEST(made.parent.empty());
    BOOST_TEST(made.self.flags == 3);
    BOOST_TEST(told_outcome(made) == "completed");
  }
}

BOOST_AUTO_TEST_CASE(traces_begin_as_the_ratio_says) {
  for (const double ratio : {0.0, 1e-300}) {
    traced_system traced{ratio};
    traced.take({"", sampled});
    const auto begun = parse_traceparent(traced.system.started.at(0).first->traceparent);
    BOOST_TEST(begun.has_value() == (ratio > 0)); // one that is not sampled is told, too
    BOOST_TEST((!begun || !begun->sampled()));
    traced.system.finish_all();
    traced.system.answer_writes();
    BOOST_REQUIRE(traced.spans.all.size() == 1); // whoever asked has decided for this one
    BOOST_TEST(traced.spans.all.front().self.trace_id == trace);
  }
}

BOOST_FIXTURE_TEST_CASE(a_batch_of_outcomes_is_one_batch_of_spans, traced_system) {
  take({sampled, sampled, sampled, sampled});
  for (std::size_t i = 0; i < 4; ++i)
    system.finish(i);
  system.answer_writes();
  std::set<std::string> ids;
  for (const auto& one : spans.all)
    ids.insert(one.self.span_id);
  BOOST_TEST(ids.size() == 4);
  BOOST_TEST(spans.calls <= 2); // the first one's, and those that ended while it was written
}

BOOST_FIXTURE_TEST_CASE(what_there_is_no_room_for_is_counted_and_not_made, traced_system) {
  spans.most = 2;
  take({sampled, sampled, sampled, unsampled, sampled});
  for (std::size_t i = 0; i < 4; ++i)
    system.finish(i);
  system.answer_writes();
  BOOST_TEST(spans.all.size() == 2);
  BOOST_TEST(spans.lost == 1); // one that is not sampled is not missed
  system.finish(4);            // those were exported
  system.answer_writes();
  BOOST_TEST(spans.all.size() == 3);
  BOOST_TEST(spans.lost == 1);
}

BOOST_FIXTURE_TEST_CASE(what_failed_says_so_with_its_error, traced_system) {
  take({sampled, sampled, sampled});
  system.finish(0, failed(std::string(2000, 'x')));
  system.finish(1, discarded("never"));
  system.finish(2, snoozed(std::chrono::milliseconds{5}));
  system.answer_writes();
  BOOST_REQUIRE(spans.all.size() == 3);
  BOOST_TEST(told_outcome(spans.all[0]) == "retried");
  BOOST_TEST(spans.all[0].failed);
  BOOST_TEST(spans.all[0].failure == std::string(1024, 'x'));
  BOOST_TEST(told_outcome(spans.all[1]) == "discarded");
  BOOST_TEST(spans.all[1].failure == "never");
  BOOST_TEST(told_outcome(spans.all[2]) == "snoozed");
  BOOST_TEST(!spans.all[2].failed);
}

BOOST_FIXTURE_TEST_CASE(a_fenced_run_is_told_as_that, traced_system) {
  take({sampled});
  system.finish(0);
  finished_runs late;
  late.fenced = {job_id{700}};
  system.answer(system.in->finishes, std::move(late));
  BOOST_REQUIRE(spans.all.size() == 1);
  BOOST_TEST(told_outcome(spans.all.front()) == "fenced");
}

BOOST_FIXTURE_TEST_CASE(a_batch_on_its_way_when_its_life_ends_leaves_room_for_others,
                        traced_system) {
  spans.most = 1;
  const auto& runs = system.counters.runs.of("q", "hold");
  for (const int life : {1, 2}) {
    take({sampled});
    system.finish(system.started.size() - 1);
    system.join(node_id{});
    if (life == 1)
      system.answer(system.in->finishes, finished_runs{});
    else
      system.refuse(system.in->finishes, errc::unavailable);
  }
  BOOST_REQUIRE(spans.all.size() == 2);
  BOOST_TEST(told_outcome(spans.all[0]) == "completed"); // it was stored before the life ended
  BOOST_TEST(told_outcome(spans.all[1]) == "fenced");
  BOOST_TEST(spans.lost == 0);
  BOOST_TEST(runs.ends[static_cast<std::size_t>(run_end::completed)] == 1U);
  BOOST_TEST(runs.ends[static_cast<std::size_t>(run_end::fenced)] == 1U);
  BOOST_TEST(system.counters.attempts_completed == 1U);
  BOOST_TEST(system.counters.attempts_fenced == 1U);
}

BOOST_FIXTURE_TEST_CASE(an_outcome_that_cannot_be_written_leaves_room_for_others, traced_system) {
  spans.most = 1;
  take({sampled, sampled});
  system.finish(0);
  system.refuse(system.in->finishes, errc::database);
  system.refuse(system.in->finishes, errc::database); // nor can what replaces it
  BOOST_REQUIRE(spans.all.size() == 1);
  BOOST_TEST(told_outcome(spans.all[0]) == "fenced");
  system.finish(1);
  system.answer_writes();
  BOOST_TEST(spans.all.size() == 2);
  BOOST_TEST(spans.lost == 0);
}

BOOST_AUTO_TEST_CASE(without_an_exporter_a_handler_gets_the_traceparent_of_its_job) {
  executor_system system{queue_slots::max_prefetch, peers_with(nullptr)};
  auto given = executor_system::batch(lease_id{7}, 1);
  given.jobs[0]->traceparent = sampled;
  system.take(std::move(given));
  BOOST_TEST(system.started.at(0).first->traceparent == sampled);
  system.finish(0);
  system.answer_writes();
}
