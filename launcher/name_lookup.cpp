#include "launcher/name_lookup.hpp"

#include <algorithm>
#include <netdb.h>
#include <utility>

namespace troupe {

void name_lookup::start(const std::string& host, answer callback) {
  const auto found = std::make_shared<resolution>();
  const auto called = std::make_shared<answer>(std::move(callback));
  const auto why = threads_.run([host, found, blocking = blocking_] { *found = blocking(host); },
                                [found, called] { (*called)(std::move(*found)); });
  if (why)
    (*called)({{}, "the name " + host + " cannot be looked up: " + *why});
}

resolution name_lookup::ask_system(const std::string& host) {
  resolution found;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &list); code != 0) {
    found.failure = "the name " + host + " cannot be looked up: " + ::gai_strerror(code);
    return found;
  }
  for (const auto* one = list; one != nullptr; one = one->ai_next) {
    char text[NI_MAXHOST];
    const bool told =
        ::getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST)
        == 0;
    if (told
        && std::find(found.addresses.begin(), found.addresses.end(), text) == found.addresses.end())
      found.addresses.emplace_back(text);
  }
  ::freeaddrinfo(list);
  if (found.addresses.empty())
    found.failure = "the name " + host + " has no address";
  return found;
}

} // namespace troupe
