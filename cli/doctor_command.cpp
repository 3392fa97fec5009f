// doctor: looks the database over; a table and advice for people, one object for programs.
#include "cli/commands.hpp"
#include "cli/table.hpp"
#include "cli/text.hpp"
#include "launcher/doctor.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace troupe::cli {

namespace {

std::string json_of(const doctor_report& report) {
  nlohmann::ordered_json checks = nlohmann::ordered_json::array();
  for (const auto& each : report.findings)
    checks.push_back({{"name", each.name},
                      {"status", name_of(each.status)},
                      {"found", each.found},
                      {"advice", each.advice.empty() ? nlohmann::ordered_json{}
                                                     : nlohmann::ordered_json(each.advice)}});
  const nlohmann::ordered_json out{
      {"status", name_of(report.status())}, {"server", report.server}, {"checks", checks}};
  // What the server says of itself need not be UTF-8.
  return printable_json(out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)) + "\n";
}

std::string text_of(const doctor_report& report) {
  table rows({{"CHECK"}, {"STATUS"}, {"FOUND"}});
  std::string advice;
  for (const auto& each : report.findings) {
    rows.add({each.name, name_of(each.status), each.found});
    if (!each.advice.empty())
      advice += "\n" + printable(each.name) + ": " + printable(each.advice) + ".";
  }
  return rows.take() + (advice.empty() ? "" : "\nWhat to do\n----------" + advice + "\n");
}

} // namespace

exit_code run_doctor(const invocation& wanted) {
  const auto report = examine_database(wanted.engine);
  print(wanted.json ? json_of(report) : text_of(report));
  const auto count = [&](health_status status) {
    return std::count_if(report.findings.begin(), report.findings.end(),
                         [status](const auto& each) { return each.status == status; });
  };
  if (!wanted.json && report.status() != health_status::ok)
    tell(std::to_string(count(health_status::failing)) + " failing, "
         + std::to_string(count(health_status::degraded)) + " degraded");
  return report.status() == health_status::failing ? exit_code::failed : exit_code::ok;
}

} // namespace troupe::cli
