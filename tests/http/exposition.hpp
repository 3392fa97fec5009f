// A strict reader of Prometheus' text format 0.0.4 with the rules of `promtool check metrics`. What
// breaks one of them becomes a sentence in faults().
#pragma once

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::tests {

class exposition {
public:
  using labels = std::map<std::string, std::string>;
  struct sample {
    std::string name;
    labels with;
    double value = 0;
  };
  struct family {
    std::string name, type;
    std::vector<sample> samples;
  };

  explicit exposition(const std::string& text) {
    if (text.empty() || text.back() != '\n')
      fault("the last line has no end");
    std::istringstream lines{text};
    for (std::string line; std::getline(lines, line);)
      read_line(line);
    for (const auto& each : families_)
      check(each);
  }

  const std::vector<std::string>& faults() const { return faults_; }
  std::string all_faults() const {
    std::string text;
    for (const auto& each : faults_)
      text += each + "\n";
    return text;
  }

  std::string type(const std::string& name) const {
    for (const auto& each : families_)
      if (each.name == name)
        return each.type;
    return {};
  }
  std::optional<double> value(const std::string& name, const labels& with = {}) const {
    for (const auto& each : families_)
      for (const auto& one : each.samples)
        if (one.name == name && one.with == with)
          return one.value;
    return std::nullopt;
  }

private:
  void fault(const std::string& what) { faults_.push_back(what); }

  static bool is_name(std::string_view text, bool colon) {
    if (text.empty() || std::isdigit(static_cast<unsigned char>(text.front())))
      return false;
    return std::all_of(text.begin(), text.end(), [colon](unsigned char c) {
      return std::isalnum(c) || c == '_' || (colon && c == ':');
    });
  }

  void read_line(const std::string& line) {
    if (line.starts_with("# HELP ")) {
      std::istringstream words{line.substr(7)};
      std::string name, help;
      words >> name;
      std::getline(words >> std::ws, help);
      if (help.empty())
        fault(name + ": no help");
      if (!is_name(name, true) || !names_.insert(name).second)
        fault(name + ": no name, or one that was there already");
      families_.push_back({name, {}, {}});
    } else if (line.starts_with("# TYPE ")) {
      std::istringstream words{line.substr(7)};
      std::string name, type, more;
      words >> name >> type >> more;
      if (families_.empty() || families_.back().name != name || !families_.back().type.empty()
          || !families_.back().samples.empty())
        fault(name + ": TYPE stands elsewhere than right after its HELP");
      else
        families_.back().type = type;
      if (!more.empty() || (type != "counter" && type != "gauge" && type != "histogram"))
        fault(name + ": unknown type " + type);
    } else if (line.empty() || line.front() == '#') {
      fault("a line that says nothing: '" + line + "'");
    } else {
      read_sample(line);
    }
  }

  void read_sample(const std::string& line) {
    sample one;
    auto at = line.find_first_of("{ ");
    one.name = line.substr(0, at);
    if (!is_name(one.name, true))
      fault("no name: " + line);
    if (at != std::string::npos && line[at] == '{')
      at = read_labels(line, at + 1, one.with);
    if (at == std::string::npos || at + 1 >= line.size() || line[at] != ' ')
      return fault("no value: " + line);
    const auto number = line.substr(at + 1);
    char* end = nullptr;
    one.value = std::strtod(number.c_str(), &end);
    if (*end != '\0')
      fault("no number, or more than one: " + line);
    if (families_.empty() || families_.back().type.empty())
      return fault("before HELP and TYPE: " + line);
    families_.back().samples.push_back(std::move(one));
  }

  /// `at` is behind the bracket; the answer is behind the closing one, or npos.
  std::size_t read_labels(const std::string& line, std::size_t at, labels& into) {
    while (at < line.size() && line[at] != '}') {
      const auto equals = line.find("=\"", at);
      if (equals == std::string::npos)
        return std::string::npos;
      const auto name = line.substr(at, equals - at);
      std::string value;
      for (at = equals + 2; at < line.size() && line[at] != '"'; ++at) {
        if (line[at] == '\\' && ++at < line.size() && line[at] != '\\' && line[at] != '"'
            && line[at] != 'n')
          fault("unknown escape: " + line);
        value += line[at];
      }
      if (!is_name(name, false) || !into.emplace(name, value).second)
        fault("wrong label " + name + ": " + line);
      if (++at < line.size() && line[at] == ',')
        ++at;
    }
    return at < line.size() ? at + 1 : std::string::npos;
  }

  void check(const family& each) {
    const bool counts = each.type == "counter";
    if (each.name.ends_with("_total") != counts)
      fault(each.name + ": only counters end with _total, and all of them do");
    for (const auto* unit : {"_ms", "_us", "_milliseconds", "_microseconds", "_minutes", "_kb"})
      if (each.name.find(unit) != std::string::npos)
        fault(each.name + ": not in base units");
    if (std::any_of(each.name.begin(), each.name.end(),
                    [](unsigned char c) { return std::isupper(c); }))
      fault(each.name + ": has capitals");
    if (each.samples.empty())
      fault(each.name + ": no sample");
    std::set<std::pair<std::string, labels>> seen;
    for (const auto& one : each.samples) {
      if (!seen.emplace(one.name, one.with).second)
        fault(one.name + ": the same series twice");
      if (one.value < 0 && each.type != "gauge")
        fault(one.name + ": below zero");
      if (each.type == "histogram")
        continue;
      if (one.name != each.name)
        fault(one.name + ": stands among " + each.name);
      if (one.with.count("le") != 0)
        fault(one.name + ": le belongs to histograms");
    }
    if (each.type == "histogram")
      check_histogram(each);
  }

  void check_histogram(const family& each) {
    struct series {
      std::vector<std::pair<double, double>> buckets; ///< bound, count
      std::optional<double> sum, count;
    };
    std::map<labels, series> all;
    for (const auto& one : each.samples) {
      auto with = one.with;
      const auto bound = with.find("le");
      if (one.name == each.name + "_bucket" && bound != with.end()) {
        const double le = std::strtod(bound->second.c_str(), nullptr);
        with.erase(bound);
        all[with].buckets.emplace_back(le, one.value);
      } else if (one.name == each.name + "_sum") {
        all[with].sum = one.value;
      } else if (one.name == each.name + "_count") {
        all[with].count = one.value;
      } else {
        fault(one.name + ": stands among " + each.name);
      }
    }
    for (const auto& [with, found] : all) {
      if (!found.sum || !found.count || found.buckets.empty()) {
        fault(each.name + ": buckets, sum or count are missing");
        continue;
      }
      for (std::size_t i = 1; i < found.buckets.size(); ++i)
        if (found.buckets[i].first <= found.buckets[i - 1].first
            || found.buckets[i].second < found.buckets[i - 1].second)
          fault(each.name + ": buckets do not rise");
      const auto& last = found.buckets.back();
      if (last.first != std::numeric_limits<double>::infinity() || last.second != *found.count)
        fault(each.name + ": the last bucket is not +Inf with the count");
    }
  }

  std::vector<family> families_;
  std::set<std::string> names_;
  std::vector<std::string> faults_;
};

} // namespace troupe::tests
