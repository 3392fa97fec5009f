// Jobs that are followed until they have ended: what was said of each last, what has changed since,
// and how it looks. Pure; throws command_error when an answer is not what a Troupe server gives.
#pragma once

#include "cli/exit_code.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace troupe::cli {

class job_watch {
public:
  /// Jobs that one command follows at most: each costs a request in every round.
  static constexpr int most_jobs = 100;

  /// One that is named twice is followed once.
  explicit job_watch(const std::vector<std::string>& ids);

  /// The jobs that have not ended, as they were named.
  std::vector<std::string> left() const;
  /// Takes the server's answer about one of them; true when it says something new.
  bool take(const std::string& id, std::string_view answer);
  /// It is not there (any more).
  void lose(const std::string& id);
  /// ok when all completed; job_failed when one did not; not_found when one was not there.
  exit_code verdict() const;

  /// The job's last change: "job 17 is running, attempt 1 of 3, 45%, half of it".
  std::string sentence(const std::string& id) const;
  /// The same as one JSON object. Numbers are as the server wrote them.
  std::string object(const std::string& id) const;
  /// All jobs, lines of at most `columns`, at most `rows` of them.
  std::vector<std::string> lines(int rows, int columns) const;

private:
  struct watched {
    std::string id;
    std::string queue;
    std::string kind;
    std::string state; ///< empty: nothing heard yet
    std::string attempt;
    std::string max_attempts;
    std::string progress; ///< JSON, or null
    std::string error;    ///< of the last attempt
    bool ended = false;
    bool lost = false;

    bool operator==(const watched&) const = default;
  };

  const watched& at(const std::string& id) const;
  watched& at(const std::string& id);
  static std::string progress_of(const watched& job);

  std::vector<watched> jobs_;
};

} // namespace troupe::cli
