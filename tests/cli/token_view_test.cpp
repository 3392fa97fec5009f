// Tokens laid out for people.
#include "cli/exit_code.hpp"
#include "cli/token_view.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe::cli;

namespace {

const std::string scoped =
    R"({"id":"7","name":"ci","hint":"trp_abcd1234","role":"producer","queues":["mail","news"],)"
    R"("state":"expired","created_at":"2026-11-23T08:55:05Z","expires_at":"2026-11-24T08:55:05Z",)"
    R"("revoked_at":null,"last_used_on":"2026-11-23"})";
const std::string plain =
    R"({"id":"12","name":"ada","hint":"trp_zyxw9876","role":"admin","queues":null,"state":"live",)"
    R"("created_at":"2026-11-23T08:55:05Z","expires_at":null,"revoked_at":null,)"
    R"("last_used_on":null})";

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

} // namespace

BOOST_AUTO_TEST_CASE(a_list_shows_one_line_per_token_and_no_secret) {
  auto rows = tokens_table();
  add_tokens(rows, R"({"tokens":[)" + scoped + "," + plain + R"(],"next":"12"})");
  const auto text = rows.take();
  BOOST_TEST(has(text, " 7  ci    trp_abcd1234  producer  mail,news  expired  "), text);
  BOOST_TEST(has(text, "12  ada   trp_zyxw9876  admin     all        live     never"), text);
  BOOST_TEST(has(text, "2026-11-23\n"), text);
  BOOST_CHECK_THROW(add_tokens(rows, R"({"queues":[]})"), command_error);
}

BOOST_AUTO_TEST_CASE(one_token_is_shown_in_the_same_way) {
  BOOST_TEST(has(token_details(scoped), "mail,news"));
}

BOOST_AUTO_TEST_CASE(the_secret_is_in_the_answer_that_made_it_only) {
  BOOST_TEST(secret_of(R"({"token":)" + plain + R"(,"secret":"trp_x"})") == "trp_x");
  BOOST_CHECK_THROW(secret_of(plain), command_error);
  BOOST_CHECK_THROW(secret_of("[]"), command_error);
}
