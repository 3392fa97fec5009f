#include "cli/server_view.hpp"

#include "cli/answer.hpp"
#include "cli/exit_code.hpp"
#include "cli/job_view.hpp"
#include "cli/text.hpp"

#include <cstdint>
#include <utility>
#include <vector>

namespace troupe::cli {

namespace {

using ordered = nlohmann::ordered_json;

std::string value_of(const ordered& value) {
  if (value.is_null())
    return "-";
  return value.is_string() ? short_time(value.get<std::string>())
                           : value.dump(-1, ' ', false, ordered::error_handler_t::replace);
}

bool is_list_of_objects(const ordered& value) {
  return value.is_array() && !value.empty() && value.front().is_object();
}

using named_lists = std::vector<std::pair<std::string, const ordered*>>;

void add_members(table& fields, named_lists& lists, const ordered& object,
                 const std::string& before) {
  for (const auto& [name, value] : object.items())
    if (value.is_object())
      add_members(fields, lists, value, before + name + ".");
    else if (is_list_of_objects(value))
      lists.emplace_back(before + name, &value);
    else
      fields.add({before + name, value_of(value)});
}

std::string list_text(const ordered& list) {
  std::vector<table_column> columns;
  for (const auto& [name, value] : list.front().items())
    columns.push_back({name, value.is_number()});
  table rows{columns};
  for (const auto& each : list) {
    std::vector<std::string> cells;
    cells.reserve(columns.size());
    for (const auto& column : columns)
      cells.push_back(each.is_object() && each.contains(column.title) ? value_of(each[column.title])
                                                                      : std::string{});
    rows.add(std::move(cells));
  }
  return rows.take();
}

/// In the largest unit that is exact.
std::string age_text(const ordered& milliseconds) {
  if (!milliseconds.is_number_integer())
    return "forever";
  const auto ms = milliseconds.get<std::int64_t>();
  for (const auto& [unit, size] : {std::pair{"d", 86'400'000}, std::pair{"h", 3'600'000},
                                   std::pair{"min", 60'000}, std::pair{"s", 1000}})
    if (ms >= size && ms % size == 0)
      return std::to_string(ms / size) + unit;
  return std::to_string(ms) + "ms";
}

void add_ages_of(table& to, const ordered& ages) {
  const auto age = [&](const char* name) { return age_text(ages.value(name, ordered{})); };
  const auto queue = ages.value("queue", ordered{});
  to.add({queue.is_string() ? printable(queue.get<std::string>()) : "(all others)",
          age("completed_ms"), age("cancelled_ms"), age("discarded_ms")});
}

/// The elements of a page, each an object.
std::vector<json> elements_of(std::string_view answer, const char* name) {
  const auto page = read_object(answer);
  const auto found = page.find(name);
  if (found == page.end() || !found->is_array())
    throw command_error(exit_code::failed,
                        std::string{"the server's answer holds no list of "} + name);
  std::vector<json> out;
  for (const auto& each : *found)
    if (each.is_object())
      out.push_back(each);
  return out;
}

} // namespace

std::string object_details(std::string_view text) {
  static_cast<void>(read_object(text)); // says what is wrong
  const auto object = ordered::parse(text.begin(), text.end());
  table fields({{"FIELD"}, {"VALUE"}});
  named_lists lists;
  add_members(fields, lists, object, "");
  auto out = fields.take();
  for (const auto& [name, list] : lists)
    out += "\n" + name + "\n" + list_text(*list);
  return out;
}

table ages_table() {
  return table({{"QUEUE"}, {"COMPLETED", true}, {"CANCELLED", true}, {"DISCARDED", true}});
}

std::string retention_text(std::string_view text) {
  static_cast<void>(read_object(text)); // says what is wrong
  auto object = ordered::parse(text.begin(), text.end());
  std::string out;
  if (auto& jobs = object["jobs"]; jobs.is_object() && is_list_of_objects(jobs["ages"])) {
    auto ages = ages_table();
    for (const auto& each : jobs["ages"])
      add_ages_of(ages, each);
    out += ages.take() + "\n";
    jobs.erase("ages");
  }
  if (const auto& others = object["others"]; is_list_of_objects(others)) {
    table kept({{"WHAT"}, {"KEPT FOR", true}, {"OLDEST"}});
    for (const auto& each : others)
      kept.add({value_of(each.value("what", ordered{})), age_text(each.value("age_ms", ordered{})),
                value_of(each.value("oldest_at", ordered{}))});
    out += kept.take() + "\n";
  }
  object.erase("others");
  return out + object_details(object.dump());
}

void add_ages(table& to, std::string_view answer) {
  static_cast<void>(read_object(answer)); // says what is wrong
  add_ages_of(to, ordered::parse(answer.begin(), answer.end()));
}

std::string shortened(std::string_view kept, const std::string& queue, std::string_view change) {
  static_cast<void>(read_object(kept)); // says what is wrong
  const auto record = ordered::parse(kept.begin(), kept.end());
  const auto jobs = record.value("jobs", ordered::object());
  auto others = ordered::object();
  auto now = ordered::object();
  for (const auto& each : jobs.value("ages", ordered::array())) {
    const auto of = each.value("queue", ordered{});
    if (of.is_null())
      others = each;
    if (of.is_null() || of == queue)
      now = each; // all others come first
  }
  std::string out;
  const auto wanted = change.empty() ? others : ordered::parse(change.begin(), change.end());
  for (const auto& [name, age] : wanted.items()) {
    const auto before = now.value(name, ordered{});
    if (!age.is_number() || (before.is_number() && age >= before))
      continue;
    out += (out.empty() ? "" : ", ") + name.substr(0, name.find("_ms")) + " " + age_text(age)
           + " in place of " + age_text(before);
  }
  return out;
}

namespace {

/// "concurrency - -> 3, completed 7d -> 1h"; of args only the name.
std::string changes_text(const ordered& entry) {
  std::string out;
  const auto changes = entry.value("changes", ordered{});
  for (const auto& [name, change] : changes.items()) {
    const bool spans = name.size() > 3 && name.ends_with("_ms");
    out += out.empty() ? "" : ", ";
    out += spans ? name.substr(0, name.size() - 3) : name;
    if (!change.contains("from") || !change.contains("to"))
      continue;
    const auto told = spans ? age_text : value_of;
    out += ' ';
    out += told(change["from"]);
    out += " -> ";
    out += told(change["to"]);
  }
  return out;
}

} // namespace

table audit_table() {
  return table(
      {{"ID", true}, {"AT"}, {"WHO"}, {"TOKEN", true}, {"ACTION"}, {"SUBJECT"}, {"CHANGES"}});
}

void add_entries(table& to, std::string_view answer) {
  for (const auto& each : elements_of(answer, "entries"))
    to.add({field(each, "id"), short_time(field(each, "at")), field(each, "who"),
            field(each, "token"), field(each, "action"), field(each, "subject"),
            changes_text(each)});
}

table exports_table() {
  return table({{"ID", true}, {"STATE"}, {"FORMAT"}, {"CREATED"}, {"BYTES", true}, {"PROGRESS"}});
}

void add_exports(table& to, std::string_view answer) {
  for (const auto& each : elements_of(answer, "exports")) {
    const auto file = each.find("file");
    const bool there = file != each.end() && file->is_object();
    const auto packed = field(each, "compression") == "gzip" ? ".gz" : "";
    to.add({field(each, "id"), field(each, "state"), field(each, "format") + packed,
            short_time(field(each, "created_at")), there ? field(*file, "bytes") : "-",
            field(each, "progress")});
  }
}

} // namespace troupe::cli
