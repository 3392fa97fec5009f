#include "handlers/url.hpp"

#include "messages/crawl.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <memory>

namespace troupe {

namespace {

struct curlu_cleanup {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
struct curl_free_text {
  void operator()(char* text) const { curl_free(text); }
};
using curlu = std::unique_ptr<CURLU, curlu_cleanup>;
using curl_text = std::unique_ptr<char, curl_free_text>;

bool is_alpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

/// Characters that no normalisation touches, wherever they stand in a path or query.
constexpr std::array<bool, 256> plain_characters() {
  std::array<bool, 256> plain{};
  for (char c : std::string_view("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 "-_.~/?=&+%,;"))
    plain[static_cast<unsigned char>(c)] = true;
  return plain;
}
constexpr auto is_plain = plain_characters();

/// Length of "scheme" when the text begins with "scheme:", else 0.
std::size_t scheme_length(std::string_view text) {
  if (text.empty() || !is_alpha(text[0]))
    return 0;
  for (std::size_t i = 1; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ':')
      return i;
    if (!is_alpha(c) && !is_digit(c) && c != '+' && c != '-' && c != '.')
      return 0;
  }
  return 0;
}

bool equals_lower(std::string_view text, std::string_view word) {
  return text.size() == word.size()
         && std::equal(text.begin(), text.end(), word.begin(),
                       [](char a, char b) { return lower(a) == b; });
}

std::string_view without_fragment(std::string_view text) {
  return text.substr(0, text.find('#'));
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view blanks = " \t\n\r\f";
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos)
    return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// Length of the URL up to and including the last slash of its path.
std::size_t folder_length(std::string_view url) {
  const auto path = url.substr(0, url.find('?'));
  return path.rfind('/') + 1;
}

curl_text part(CURLU* url, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, which, &text, flags) != CURLUE_OK)
    return nullptr;
  return curl_text(text);
}

url_or_refusal set_failed(CURLUcode code) {
  if (code == CURLUE_USER_NOT_ALLOWED)
    return url_refusal{"the URL must not contain a user name or password"};
  if (code == CURLUE_UNSUPPORTED_SCHEME)
    return url_refusal{"the URL's scheme must be http or https"};
  return url_refusal{std::string("not a valid URL: ") + curl_url_strerror(code)};
}

} // namespace

url_or_refusal normalise_url(std::string_view text) {
  if (text.empty())
    return url_refusal{"the URL is empty"};
  if (text.size() > limits::url_bytes)
    return url_refusal{"the URL is longer than " + std::to_string(limits::url_bytes) + " bytes"};
  if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
    return url_refusal{"the URL contains a control character"};
  const auto scheme = text.substr(0, scheme_length(text));
  if (!equals_lower(scheme, "http") && !equals_lower(scheme, "https"))
    return url_refusal{"the URL must begin with http:// or https://"};
  // libcurl guesses at one or three slashes; a crawl should not.
  if (text.substr(scheme.size()).substr(0, 3) != "://" || text.substr(scheme.size() + 3).empty()
      || text[scheme.size() + 3] == '/')
    return url_refusal{"the URL must begin with http:// or https://"};

  curlu url(curl_url());
  if (!url)
    return url_refusal{"out of memory"};
  const std::string whole(without_fragment(text));
  if (auto code = curl_url_set(url.get(), CURLUPART_URL, whole.c_str(),
                               CURLU_DISALLOW_USER | CURLU_URLENCODE);
      code != CURLUE_OK)
    return set_failed(code);
  const auto host = part(url.get(), CURLUPART_HOST);
  const auto path = part(url.get(), CURLUPART_PATH);
  if (!host || !path || *host == '\0')
    return url_refusal{"the URL names no host"};
  const auto port = part(url.get(), CURLUPART_PORT, CURLU_NO_DEFAULT_PORT);
  const auto query = part(url.get(), CURLUPART_QUERY);

  std::string normal;
  normal.reserve(whole.size() + 8);
  std::transform(scheme.begin(), scheme.end(), std::back_inserter(normal), lower);
  normal += "://";
  for (const char* c = host.get(); *c != '\0'; ++c)
    normal += lower(*c);
  if (port)
    normal.append(":").append(port.get());
  normal += path.get();
  if (query && *query != '\0')
    normal.append("?").append(query.get());
  if (normal.size() > limits::url_bytes)
    return url_refusal{"the URL is longer than " + std::to_string(limits::url_bytes) + " bytes"};
  return normal;
}

url_or_refusal resolve_url(std::string_view base, std::string_view reference) {
  // As HTML asks: blanks around it are dropped, tabs and line breaks inside it too.
  std::string link(without_fragment(trim(reference)));
  std::erase_if(link, [](char c) { return c == '\t' || c == '\n' || c == '\r'; });
  // libcurl's own joining of references has had faults ("#x" and "?x" drop the file name), so the
  // joining is ours and the normalising libcurl's.
  if (link.empty())
    return std::string(base);
  if (scheme_length(link) != 0)
    return normalise_url(link);
  const auto site = site_of(base);
  if (link.starts_with("//"))
    return normalise_url(std::string(site.substr(0, site.find(':') + 1)) + link);
  if (link[0] == '/')
    return normalise_url(std::string(site) + link);
  if (link[0] == '?')
    return normalise_url(std::string(base.substr(0, base.find('?'))) + link);
  return normalise_url(std::string(base.substr(0, folder_length(base))) + link);
}

std::string_view site_of(std::string_view url) {
  const auto authority = url.find("://");
  if (authority == std::string_view::npos)
    return {};
  return url.substr(0, url.find_first_of("/?#", authority + 3));
}

bool same_site(std::string_view a, std::string_view b) {
  const auto site = site_of(a);
  return !site.empty() && site == site_of(b);
}

link_resolver::link_resolver(std::string_view page)
    : site_(site_of(page)), base_(page), base_site_(site_.size()),
      base_folder_(folder_length(page)) {}

void link_resolver::rebase(std::string_view href) {
  auto resolved = resolve_url(base_, href);
  if (auto* url = std::get_if<std::string>(&resolved)) {
    base_ = std::move(*url);
    base_site_ = site_of(base_).size();
    base_folder_ = folder_length(base_);
  }
}

/// Absolute links in the obvious form: the host in lower-case letters, no port, no user name. Their
/// site is as it stands. Empty for any other form.
std::string_view link_resolver::plain_site(std::string_view href) const {
  const auto scheme = href.starts_with("https://") ? 8U : href.starts_with("http://") ? 7U : 0U;
  if (scheme == 0)
    return {};
  auto end = scheme;
  auto label = scheme; // where the last label begins; a number there may be an IPv4 address
  for (; end < href.size() && href[end] != '/'; ++end) {
    const char c = href[end];
    if (c == '.')
      label = end + 1;
    else if ((c < 'a' || c > 'z') && !is_digit(c) && c != '-')
      return {};
  }
  return label < end && is_alpha(href[label]) ? href.substr(0, end) : std::string_view{};
}

/// The common case: only plain characters, no dot segment, no scheme. False: let libcurl decide.
bool link_resolver::join_plain(std::string_view href) {
  if (href.empty() || href[0] == '.' || href[0] == '?')
    return false;
  char before = href[0] == '/' ? '/' : '\0';
  if (!is_plain[static_cast<unsigned char>(href[0])])
    return false;
  for (char c : href.substr(1)) {
    if (!is_plain[static_cast<unsigned char>(c)] || (before == '/' && (c == '.' || c == '/')))
      return false;
    before = c;
  }
  if (before == '?')
    return false;
  joined_.assign(base_, 0, href[0] == '/' ? base_site_ : base_folder_);
  joined_ += href;
  return joined_.size() <= limits::url_bytes;
}

std::string_view link_resolver::within_site(std::string_view href) {
  href = without_fragment(href);
  const auto scheme = href.substr(0, scheme_length(href));
  if (scheme.empty()) {
    if (join_plain(href))
      return std::string_view(joined_).substr(0, base_site_) == site_ ? joined_
                                                                      : std::string_view{};
  } else if (!equals_lower(scheme, "http") && !equals_lower(scheme, "https")) {
    return {}; // mailto:, javascript:, ...
  } else if (auto site = plain_site(href); !site.empty()) {
    if (site != site_)
      return {};
    if (const auto path = href.substr(site.size()); base_site_ == site_.size() && join_plain(path))
      if (std::string_view(joined_).substr(0, base_site_) == site_)
        return joined_;
  }
  auto resolved = resolve_url(base_, href);
  auto* url = std::get_if<std::string>(&resolved);
  if (url == nullptr || site_of(*url) != site_)
    return {};
  joined_ = std::move(*url);
  return joined_;
}

} // namespace troupe
