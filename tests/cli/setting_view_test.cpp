// Settings for people and programs; secrets for nobody.
#include "cli/setting_view.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe::cli;

namespace {

const std::vector<setting> some{
    {"listen", setting_form::text, {"127.0.0.1:8080"}, setting_origin::standard, ""},
    {"slots", setting_form::number, {"16"}, setting_origin::flag, "--slots"},
    {"grace", setting_form::number, {".5"}, setting_origin::variable, "TROUPE_GRACE"},
    {"pooler", setting_form::yes_no, {"true"}, setting_origin::file, "t.toml, line 3"},
    {"queue", setting_form::list, {"a:1", "b:0"}, setting_origin::standard, ""},
    {"allow_host", setting_form::list, {}, setting_origin::standard, ""},
    {"node", setting_form::text, {"\x1b[2J"}, setting_origin::standard, ""},
    {"admin_token", setting_form::text, {"s3cret"}, setting_origin::standard, ""},
    {"database.password", setting_form::text, {""}, setting_origin::standard, ""},
    {"database.password_file", setting_form::text, {"/p"}, setting_origin::standard, ""},
};

} // namespace

BOOST_AUTO_TEST_CASE(settings_are_a_table_for_people) {
  const auto text = settings_text(some, true);
  BOOST_TEST(text.starts_with("SETTING                 VALUE           ORIGIN    FROM\n"
                              "listen                  127.0.0.1:8080  default\n"
                              "slots                   16              flag      --slots\n"));
  BOOST_TEST(text.find("a:1, b:0") != std::string::npos);
  BOOST_TEST(text.find('\x1b') == std::string::npos);
  BOOST_TEST(settings_text(some, false).starts_with("SETTING                 VALUE\n"));
}

BOOST_AUTO_TEST_CASE(settings_keep_their_types_for_programs) {
  BOOST_TEST(settings_json({some.begin(), some.begin() + 2}, true)
             == R"({"settings":[{"name":"listen","value":"127.0.0.1:8080","origin":"default",)"
                R"("from":null},{"name":"slots","value":16,"origin":"flag","from":"--slots"}]})");
  BOOST_TEST(settings_json({some.begin() + 2, some.end()}, false)
             == R"x({"settings":[{"name":"grace","value":0.5},{"name":"pooler","value":true},)x"
                R"x({"name":"queue","value":["a:1","b:0"]},{"name":"allow_host","value":[]},)x"
                R"x({"name":"node","value":"\u001b[2J"},)x"
                R"x({"name":"admin_token","value":"(hidden)"},)x"
                R"x({"name":"database.password","value":null},)x"
                R"x({"name":"database.password_file","value":"/p"}]})x");
}

BOOST_AUTO_TEST_CASE(secrets_are_known_by_their_names) {
  for (const auto* name :
       {"token", "api_token", "database.password", "client_secret", "otlp_headers"})
    BOOST_TEST(is_secret(name), name);
  for (const auto* name :
       {"database.password_file", "token_file", "node", "database.url", "otlp_endpoint"})
    BOOST_TEST(!is_secret(name), name);
}
