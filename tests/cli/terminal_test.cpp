// What is drawn over itself, the bytes of a screen, and those of keys.
#include "cli/terminal.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe::cli;

BOOST_AUTO_TEST_CASE(lines_go_back_over_as_many_as_were_there) {
  redrawn_lines lines;
  BOOST_TEST(lines.show({"a", "b"}) == "a\nb\n");
  BOOST_TEST(lines.show({"c"}) == "\x1b[2F\x1b[Jc\n");
  BOOST_TEST(lines.show({}) == "\x1b[1F\x1b[J");
  BOOST_TEST(lines.show({"d"}) == "d\n");
}

BOOST_AUTO_TEST_CASE(a_screen_is_drawn_from_its_corner_and_leaves_nothing_of_the_one_before) {
  BOOST_TEST(screen_text({{"title", true}, {"row"}, {""}})
             == "\x1b[H\x1b[7mtitle\x1b[0m\x1b[K\r\nrow\x1b[K\r\n\x1b[K\x1b[J");
  BOOST_TEST(screen_text({}) == "\x1b[H\x1b[J");
}

BOOST_AUTO_TEST_CASE(keys_are_read_from_bytes_that_come_in_pieces) {
  const auto names = [](std::string bytes) {
    std::string out;
    for (const auto& each : take_keys(bytes)) {
      constexpr const char* letters = "cudlrtb";
      out += each.what == key::character ? each.character : letters[static_cast<int>(each.what)];
    }
    return out + "|" + bytes;
  };
  BOOST_TEST(names("qp\t") == "qpt|");
  BOOST_TEST(names("\x1b[A\x1b[B\x1b[C\x1b[D\x1b[Z") == "udrlb|");
  BOOST_TEST(names("\x1bOA\x1bOD") == "ul|");
  BOOST_TEST(names("\x1b[1;5Cq") == "rq|"); // with Control held
  BOOST_TEST(names("\x1b[15~q") == "q|");   // a function key
  BOOST_TEST(names("\x1bq") == "q|");
  BOOST_TEST(names("a\x1b") == "a|\x1b");
  BOOST_TEST(names("\x1b[") == "|\x1b[");
  BOOST_TEST(names("\x1b[1;") == "|\x1b[1;");
  BOOST_TEST(names("\x1b[" + std::string(100, ';')) == "|");
  std::string bytes = "\x1b";
  BOOST_TEST(take_keys(bytes).empty());
  bytes += "[A";
  BOOST_TEST((take_keys(bytes).front().what == key::up));
}
