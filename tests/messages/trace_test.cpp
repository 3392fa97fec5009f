// What is taken for a traceparent and what is not, as W3C Trace Context says.
#include "messages/job.hpp"
#include "messages/trace.hpp"

#include <boost/test/unit_test.hpp>

#include <random>
#include <string>

using namespace troupe;

namespace {

const std::string trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string span_id = "00f067aa0ba902b7";
const std::string usual = "00-" + trace_id + "-" + span_id + "-01";

} // namespace

BOOST_AUTO_TEST_CASE(a_traceparent_is_read_as_it_was_written) {
  const auto read = parse_traceparent(usual);
  BOOST_REQUIRE(read);
  BOOST_TEST(read->trace_id == trace_id);
  BOOST_TEST(read->span_id == span_id);
  BOOST_TEST(read->sampled());
  BOOST_TEST(to_traceparent(*read) == usual);
  const auto unsampled = parse_traceparent("00-" + trace_id + "-" + span_id + "-00");
  BOOST_REQUIRE(unsampled);
  BOOST_TEST(!unsampled->sampled());
  for (const unsigned flags : {0U, 1U, 2U, 3U})
    BOOST_TEST(is_sampled(to_traceparent({trace_id, span_id, flags})) == ((flags & 1U) == 1),
               flags);
  for (const auto& none : {std::string{}, std::string{"1"}, usual + "1", usual.substr(0, 54) + "g"})
    BOOST_TEST(!is_sampled(none), none);
}

BOOST_AUTO_TEST_CASE(what_the_recommendation_does_not_allow_is_no_traceparent) {
  const std::string zeros(32, '0');
  for (const auto& text :
       {std::string{}, usual.substr(0, 54), usual + "-", usual + "0", " " + usual, usual + " ",
        "ff" + usual.substr(2), "0g" + usual.substr(2), "0" + usual,
        "00-" + zeros + "-" + span_id + "-01", "00-" + trace_id + "-" + zeros.substr(16) + "-01",
        "00-" + trace_id + "-" + span_id + "-0x", "00_" + usual.substr(3),
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" + span_id + "-01",
        "00-" + trace_id + "-" + span_id + "_01", "01-" + trace_id + "-" + span_id + "-01x"})
    BOOST_TEST(!parse_traceparent(text), text);
}

BOOST_AUTO_TEST_CASE(later_versions_and_flags_are_read_as_far_as_this_one_goes) {
  for (const auto* more : {"", "-what-follows", "-"}) {
    const auto read = parse_traceparent("cc" + usual.substr(2, 51) + "ff" + more);
    BOOST_REQUIRE(read);
    BOOST_TEST(to_traceparent(*read) == usual.substr(0, 53) + "03");
  }
}

BOOST_AUTO_TEST_CASE(another_span_of_the_same_trace_is_never_none) {
  const auto context = *parse_traceparent(usual);
  BOOST_TEST(with_span(context, 0xabcdef).span_id == "0000000000abcdef");
  BOOST_TEST(with_span(context, 0).span_id == "0000000000000001");
  BOOST_TEST(with_span(context, ~std::uint64_t{0}).trace_id == trace_id);
}

BOOST_AUTO_TEST_CASE(what_is_written_is_read_again_and_noise_never_is_taken_for_it) {
  std::mt19937_64 random{20261128}; // NOLINT(cert-msc51-cpp): the same each time
  for (int i = 0; i < 20'000; ++i) {
    const auto some = with_span(*parse_traceparent(usual), random());
    BOOST_REQUIRE(to_traceparent(*parse_traceparent(to_traceparent(some))) == to_traceparent(some));
    auto broken = usual;
    const auto at = random() % broken.size();
    broken[at] = static_cast<char>(random());
    // Whatever is taken is well-formed on its way out.
    if (const auto read = parse_traceparent(broken)) {
      BOOST_REQUIRE(to_traceparent(*read).size() == usual.size());
      BOOST_REQUIRE(to_traceparent(*read).find_first_not_of("0123456789abcdef-")
                    == std::string::npos);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_trace_that_begins_is_sampled_by_its_id) {
  constexpr auto last = ~std::uint64_t{0};
  const auto whole = begin_trace(0x4bf92f3577b34da6, 0xa3ce929d0e0e4736, 0xf067aa0ba902b7, 1);
  BOOST_REQUIRE(whole);
  BOOST_TEST(to_traceparent(*whole) == "00-" + trace_id + "-" + span_id + "-03");
  const auto sampled = [](std::uint64_t low, double ratio) {
    const auto begun = begin_trace(7, low, 9, ratio);
    BOOST_REQUIRE(begun);
    BOOST_TEST((begun->flags & 2U) == 2U); // its ids are random
    return begun->sampled();
  };
  // Of 56 bits, of which a quarter lies above this.
  constexpr std::uint64_t bound = 0xc0000000000000;
  BOOST_TEST(sampled(bound, 0.25));
  BOOST_TEST(!sampled(bound - 1, 0.25));
  BOOST_TEST(sampled(last, 0.25));
  BOOST_TEST(!sampled(0xff00000000000000 | (bound - 1), 0.25));
  BOOST_TEST(sampled(0, 1));
  BOOST_TEST(!sampled(last, 1e-300));
  BOOST_TEST(!begin_trace(1, last, 3, 0));
  const auto zeros = begin_trace(0, 0, 0, 1);
  BOOST_REQUIRE(zeros);
  BOOST_TEST(parse_traceparent(to_traceparent(*zeros)).has_value());
}

BOOST_AUTO_TEST_CASE(of_many_traces_as_many_are_sampled_as_the_ratio_says) {
  std::mt19937_64 random{20};
  for (const double ratio : {0.01, 0.5, 0.9}) {
    int sampled = 0;
    for (int i = 0; i < 10'000; ++i)
      sampled += begin_trace(random(), random(), random(), ratio)->sampled() ? 1 : 0;
    BOOST_TEST(sampled / 10'000.0 == ratio, boost::test_tools::tolerance(0.2));
  }
}

BOOST_AUTO_TEST_CASE(a_job_with_a_wrong_traceparent_is_refused) {
  job_spec job;
  job.kind = "k";
  job.traceparent = usual;
  BOOST_TEST(!find_fault(job));
  job.traceparent += "0";
  BOOST_TEST(find_fault(job).value_or("").starts_with("traceparent "));
}
