// URLs of a crawl in one normal form, so that equal pages have equal strings. libcurl parses, since
// libcurl connects: two parsers that disagree about a host are a hole. Pure functions, any thread;
// link_resolver is for one thread.
#pragma once

#include <string>
#include <string_view>
#include <variant>

namespace troupe {

/// Why a URL was refused, for a person.
struct url_refusal {
  std::string reason;
};
using url_or_refusal = std::variant<std::string, url_refusal>;

/// The normal form of an absolute http or https URL: scheme and host in lower case, no default
/// port, no fragment, no dot segments, spaces and 8-bit bytes percent-encoded, path at least "/".
/// Refuses other schemes, user names, control characters and results above limits::url_bytes.
url_or_refusal normalise_url(std::string_view text);

/// `reference` (as in an href) against `base`, which is in normal form; the result is, too.
url_or_refusal resolve_url(std::string_view base, std::string_view reference);

/// "scheme://host[:port]" of a URL in normal form.
std::string_view site_of(std::string_view url);

/// Same scheme, host and port; both in normal form.
bool same_site(std::string_view a, std::string_view b);

/// Resolves the links of one page. Most links are plain relative paths: those are joined by hand,
/// everything odd goes through resolve_url. Both give the same answer (tested over real pages).
class link_resolver {
public:
  /// `page` is in normal form and outlives the resolver.
  explicit link_resolver(std::string_view page);
  /// A <base href>: later links are relative to it. Ignored when it is no http(s) URL.
  void rebase(std::string_view href);
  /// The link in normal form when it leads to a page of the same site as `page`; otherwise empty.
  /// Valid until the next call.
  std::string_view within_site(std::string_view href);

private:
  std::string_view plain_site(std::string_view href) const;
  bool join_plain(std::string_view href);

  std::string_view site_;   ///< of the page: what "same site" means
  std::string base_;        ///< what links are relative to
  std::size_t base_site_;   ///< length of base_'s scheme://host[:port]
  std::size_t base_folder_; ///< length of base_ up to its last '/' of the path, inclusive
  std::string joined_;
};

} // namespace troupe
