// Certificates for tests of TLS, made by the openssl program in a directory of their own: an
// authority, and what it signs. Good for a day.
#pragma once

#include "tests/support/temp_dir.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace troupe::tests {

class certificates {
public:
  certificates() { make_authority("ca"); }

  /// Files NAME.crt and NAME.key.
  void make_authority(const std::string& name) const {
    openssl("req -x509 " + key_of(name) + " -days 1 -subj /CN=" + name + " -out "
            + file(name + ".crt"));
  }
  /// For a server: `host` is its name. For a client: it is the user's. With -1 day it has expired.
  void issue(const std::string& name, const std::string& host, const std::string& authority = "ca",
             int days = 1) const {
    openssl("req " + key_of(name) + " -subj /CN=" + host + " -addext subjectAltName=DNS:" + host
            + " -out " + file(name + ".csr"));
    openssl("x509 -req -copy_extensions copy -CAcreateserial -days " + std::to_string(days)
            + " -CA " + file(authority + ".crt") + " -CAkey " + file(authority + ".key") + " -in "
            + file(name + ".csr") + " -out " + file(name + ".crt"));
  }
  std::string file(const std::string& name) const { return (dir_.path() / name).string(); }

private:
  std::string key_of(const std::string& name) const {
    return "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout " + file(name + ".key");
  }
  void openssl(const std::string& arguments) const {
    const auto command = "openssl " + arguments + " 2>" + file("said");
    // NOLINTNEXTLINE(cert-env33-c,concurrency-mt-unsafe): fixed words
    if (std::system(command.c_str()) != 0)
      throw std::runtime_error("this failed, see " + file("said") + ": " + command);
  }

  temp_dir dir_;
};

} // namespace troupe::tests
