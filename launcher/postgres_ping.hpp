// Asks a PostgreSQL on a Unix socket whether it takes connections, by its own protocol and without
// running a statement. libpq belongs to db/, and no program of the client package need be
// installed.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

namespace troupe {

struct ping_result {
  enum class answer {
    ready,       ///< takes connections to this database
    no_database, ///< takes connections, the database is not there
    not_yet,     ///< starting, recovering or stopping
    nobody,      ///< nothing listens
    silent,      ///< something listens and does not answer in time
    refused,     ///< answers with an error that waiting does not cure
  };
  answer kind = answer::nobody;
  std::string detail; ///< the server's sentence, when there is one
};

ping_result ping_postgres(const std::filesystem::path& socket, const std::string& user,
                          const std::string& database, std::chrono::milliseconds limit);

} // namespace troupe
