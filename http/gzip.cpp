#include "http/gzip.hpp"

#include <array>
#include <new>
#include <optional>
#include <utility>
#include <zlib.h>

namespace troupe::http {

namespace {

/// As deflateInit2 has it: the largest window, in a wrapping of gzip's.
constexpr int gzip_window = 15 + 16;
constexpr int usual_memory = 8;
constexpr int fastest = 1;
constexpr std::string_view json_type = "application/json";

class compressor {
public:
  compressor() {
    if (deflateInit2(&stream_, fastest, Z_DEFLATED, gzip_window, usual_memory, Z_DEFAULT_STRATEGY)
        != Z_OK)
      throw std::bad_alloc{};
  }
  compressor(const compressor&) = delete;
  compressor& operator=(const compressor&) = delete;
  ~compressor() { deflateEnd(&stream_); }

  /// Without a text: what is left, and the end.
  std::string put(const std::optional<std::string>& text) {
    std::string out;
    std::array<unsigned char, 16 * 1024> some;
    if (text) {
      // zlib only reads there.
      stream_.next_in = reinterpret_cast<unsigned char*>(const_cast<char*>(text->data()));
      stream_.avail_in = static_cast<unsigned>(text->size());
    }
    do {
      stream_.next_out = some.data();
      stream_.avail_out = some.size();
      deflate(&stream_, text ? Z_NO_FLUSH : Z_FINISH);
      out.append(reinterpret_cast<const char*>(some.data()), some.size() - stream_.avail_out);
    } while (stream_.avail_out == 0);
    return out;
  }

private:
  z_stream stream_{};
};

class gzip_source final : public text_source {
public:
  explicit gzip_source(std::unique_ptr<text_source> plain) : plain_(std::move(plain)) {}

  void next(std::function<void(piece)> reply) override {
    if (state_->over)
      return reply(std::optional<std::string>{});
    plain_->next([state = state_, reply = std::move(reply)](piece told) {
      if (auto* text = std::get_if<std::optional<std::string>>(&told)) {
        state->over = !*text;
        *text = state->out.put(*text);
      }
      reply(std::move(told));
    });
  }

private:
  /// Outlives the source while a piece is on its way. One call at a time: one thread at a time.
  struct state {
    compressor out;
    bool over = false;
  };
  std::unique_ptr<text_source> plain_;
  std::shared_ptr<state> state_ = std::make_shared<state>();
};

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
    text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
    text.remove_suffix(1);
  return text;
}

/// q=0, q=0.0 and so on.
bool refused(std::string_view parameters) {
  const auto weight = trimmed(parameters);
  return (weight.starts_with("q=") || weight.starts_with("Q="))
         && weight.find_first_of("123456789") == std::string_view::npos;
}

} // namespace

std::unique_ptr<text_source> gzipped(std::unique_ptr<text_source> plain) {
  return std::make_unique<gzip_source>(std::move(plain));
}

std::string gzip_of(const std::string& text) {
  compressor out;
  auto bytes = out.put(text);
  bytes += out.put(std::nullopt);
  return bytes;
}

void compress(response& answer, bool accepted, std::size_t least) {
  if (answer.stream || answer.streamed || answer.fault || !answer.etag.empty()
      || !has_content(answer.status) || answer.content_type != json_type
      || answer.body.size() < least)
    return;
  answer.varies = true;
  if (!accepted)
    return;
  answer.body = gzip_of(answer.body);
  answer.gzip = true;
}

bool accepts_gzip(const request_head& head) {
  std::optional<bool> named;
  bool any = false;
  for (const auto& field : head.fields) {
    if (!iequals(field.name, "accept-encoding"))
      continue;
    for (auto rest = field.value; !rest.empty();) {
      const auto end = rest.find(',');
      const auto item = rest.substr(0, end);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
      const auto semicolon = item.find(';');
      const auto coding = trimmed(item.substr(0, semicolon));
      const bool wanted =
          semicolon == std::string_view::npos || !refused(item.substr(semicolon + 1));
      if (iequals(coding, "gzip") || iequals(coding, "x-gzip"))
        named = wanted;
      else if (coding == "*")
        any = wanted;
    }
  }
  return named.value_or(any);
}

} // namespace troupe::http
