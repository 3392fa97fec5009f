// Tables that fit a width.
#include "cli/fitted_table.hpp"
#include "cli/text.hpp"

#include <boost/test/unit_test.hpp>

#include <random>

using namespace troupe::cli;

namespace {

const std::vector<fitted_column> columns{
    {"NAME", false, 0}, {"WAITING", true, 0}, {"RATE", true, 1}};
using lines = std::vector<std::string>;

} // namespace

BOOST_AUTO_TEST_CASE(without_a_width_nothing_is_cut) {
  BOOST_TEST((fitted_lines(columns, {{"mail", "12", "0.5"}, {std::string(60, 'q'), "1", "10.0"}}, 0)
              == lines{"NAME" + std::string(58, ' ') + "WAITING  RATE",
                       "mail" + std::string(63, ' ') + "12   0.5",
                       std::string(60, 'q') + "        1  10.0"}));
}

BOOST_AUTO_TEST_CASE(what_matters_less_goes_first_then_texts_are_cut) {
  const lines row{"a-queue-of-a-name", "12", "0.5"};
  BOOST_TEST(fitted_lines(columns, {row}, 40)[1] == "a-queue-of-a-name       12   0.5");
  BOOST_TEST(fitted_lines(columns, {row}, 30)[1] == "a-queue-of-a-name       12");
  BOOST_TEST(fitted_lines(columns, {row}, 31)[1] == "a-queue-of-a-na…       12   0.5");
  BOOST_TEST(fitted_lines(columns, {row}, 14)[1] == "a-qu…       12");
  BOOST_TEST(fitted_lines(columns, {row}, 5)[1] == "a-q……");
  BOOST_TEST(fitted_lines(columns, {row}, 1)[1] == "…");
}

BOOST_AUTO_TEST_CASE(rows_may_be_short_and_hold_anything) {
  BOOST_TEST(fitted_lines(columns, {{"\x1b[2J\n"}, {}}, 80)[1] == "\\x1b[2J\\n");
  BOOST_TEST(fitted_lines(columns, {}, 80).size() == 1);
}

BOOST_AUTO_TEST_CASE(no_line_is_ever_wider_than_asked_for) {
  std::mt19937 random{20261128};
  const auto upto = [&](int most) { return std::uniform_int_distribution{0, most}(random); };
  const lines pieces{"a", "long-name", "é", "名", "\x1b[31m", "\xff", "12", " "};
  for (int round = 0; round < 300; ++round) {
    std::vector<fitted_column> some;
    for (int i = upto(6); i >= 0; --i)
      some.push_back({pieces[static_cast<std::size_t>(upto(7))], upto(1) == 1, upto(4)});
    std::vector<lines> rows(static_cast<std::size_t>(upto(5)));
    for (auto& row : rows)
      for (int cell = upto(7); cell > 0; --cell) {
        auto& text = row.emplace_back();
        for (int piece = upto(8); piece > 0; --piece)
          text += pieces[static_cast<std::size_t>(upto(7))];
      }
    const int width = 1 + upto(90);
    const auto out = fitted_lines(some, rows, width);
    BOOST_TEST(out.size() == rows.size() + 1);
    for (const auto& line : out) {
      BOOST_TEST(display_width(line) <= width, line);
      BOOST_TEST(printable(line) == line);
    }
  }
}
