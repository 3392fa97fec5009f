// The text of a bearer token: `trp_`, 43 random characters, 6 of a checksum, all of 0-9 A-Z a-z.
// The prefix lets scanners find what has leaked; the checksum tells a typing error without the
// database. Whoever has the text has the rights: only its hash is stored, and nothing prints it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace troupe::http {

class bearer_token {
public:
  static constexpr std::size_t random_characters = 43; ///< 256 bits and a little
  static constexpr std::size_t checksum_characters = 6;
  static constexpr std::size_t length = 4 + random_characters + checksum_characters;

  /// A new one; throws std::runtime_error when the system has no random numbers to give.
  static bearer_token make();
  /// Nothing: it is not a token that make() could have given.
  static std::optional<bearer_token> parse(std::string_view text);

  /// To be shown once, to whom it is for.
  const std::string& secret() const { return text_; }
  /// How it begins, to know it again: trp_ and eight characters. 208 bits remain unsaid.
  std::string hint() const { return text_.substr(0, 12); }
  /// SHA-256 of the whole text: 32 bytes.
  std::string hash() const;

private:
  explicit bearer_token(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

/// What stands behind `Bearer` in an Authorization header; nothing when it is of another scheme, or
/// not one word.
std::optional<std::string_view> bearer_of(std::string_view authorization);

} // namespace troupe::http
