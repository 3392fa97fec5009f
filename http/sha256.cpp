#include "http/sha256.hpp"

#include <openssl/evp.h>

#include <stdexcept>

namespace troupe::http {

digest256 sha256(std::string_view text) {
  digest256 out{};
  unsigned size = 0;
  if (EVP_Digest(text.data(), text.size(), out.data(), &size, EVP_sha256(), nullptr) != 1
      || size != out.size())
    throw std::runtime_error("SHA-256 is not to be had");
  return out;
}

} // namespace troupe::http
