// See reader.hpp. The head is found by head_scanner, copied aside (so that its views stay), parsed
// by Beast, judged by validate_framing; only then does Beast see body bytes. Fields that come after
// the head (trailers) are dropped: they never become headers.
#include "http/reader.hpp"

#include "http/net.hpp"

#include <boost/beast/http/basic_parser.hpp>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

namespace troupe::http {

namespace {

namespace beast = boost::beast;

constexpr std::size_t small_buffer = 4 * 1024; ///< what an idle connection holds

std::string_view view(beast::string_view text) {
  return {text.data(), text.size()};
}

class message_parser final : public beast::http::basic_parser<true> {
public:
  message_parser(request_head& head, std::string& body) : head_(head), body_(body) {}

private:
  using code = beast::error_code;

  void on_request_impl(beast::http::verb, beast::string_view method, beast::string_view target,
                       int version, code&) override {
    head_.method = view(method);
    head_.target = view(target);
    head_.version = version;
  }
  void on_response_impl(int, beast::string_view, int, code&) override {}
  void on_field_impl(beast::http::field, beast::string_view name, beast::string_view value,
                     code&) override {
    if (!head_done_)
      head_.fields.push_back({view(name), view(value)});
  }
  void on_header_impl(code&) override { head_done_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>& length, code&) override {
    // A length is a claim, not memory: the string grows with what really arrives.
    if (length)
      body_.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(*length, 64 * 1024)));
  }
  std::size_t on_body_impl(beast::string_view part, code&) override {
    body_.append(part.data(), part.size());
    return part.size();
  }
  void on_chunk_header_impl(std::uint64_t, beast::string_view, code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view part, code&) override {
    body_.append(part.data(), part.size());
    return part.size();
  }
  void on_finish_impl(code&) override {}

  request_head& head_;
  std::string& body_;
  bool head_done_ = false;
};

refusal too_large(std::size_t limit) {
  return {413, "body_too_large",
          limit == 0 ? "this request takes no body"
                     : "the body is longer than " + std::to_string(limit) + " bytes"};
}

} // namespace

struct request_reader::impl {
  enum class phase : std::uint8_t { head, undecided, body, complete, refused };

  explicit impl(const server_limits& l) : limits(l), scanner(l), buffer(small_buffer) {}

  std::string_view pending() const { return {buffer.data() + begin, end - begin}; }

  progress refuse(refusal reason) {
    why = std::move(reason);
    at = phase::refused;
    return progress::refused;
  }

  progress read_head();
  progress read_body();

  const server_limits& limits;
  head_scanner scanner;
  std::vector<char> buffer;
  std::size_t begin = 0;
  std::size_t end = 0;
  phase at = phase::head;
  std::string head_text;
  request_head head;
  framing borders;
  std::string body;
  std::size_t body_limit = 0;
  std::optional<message_parser> parser;
  refusal why;
};

request_reader::progress request_reader::impl::read_head() {
  switch (scanner.scan(pending())) {
  case head_scanner::verdict::need_more:
    return progress::need_more;
  case head_scanner::verdict::refused:
    return refuse(scanner.why());
  case head_scanner::verdict::complete:
    break;
  }
  head_text.assign(pending().substr(scanner.begin(), scanner.end() - scanner.begin()));
  begin += scanner.end();
  head.fields.clear();
  parser.emplace(head, body);
  parser->header_limit(static_cast<std::uint32_t>(limits.head_bytes + 1));
  // Decided by accept_body. (`none` would not do: 1.74 compares any length as greater than it.)
  parser->body_limit(std::numeric_limits<std::uint64_t>::max());
  beast::error_code ec;
  parser->put(boost::asio::buffer(head_text), ec);
  if (ec == beast::http::error::bad_version)
    return refuse({505, "version_not_supported", "speak HTTP/1.1"});
  if (ec || !parser->is_header_done())
    return refuse({400, "malformed_request", "the head is malformed: " + ec.message()});
  auto judged = validate_framing(head, limits);
  if (auto* refused = std::get_if<refusal>(&judged))
    return refuse(std::move(*refused));
  borders = std::get<framing>(judged);
  at = phase::undecided;
  return progress::head;
}

request_reader::progress request_reader::impl::read_body() {
  if (begin == end)
    return progress::need_more;
  beast::error_code ec;
  const auto used = parser->put(boost::asio::buffer(buffer.data() + begin, end - begin), ec);
  begin += used;
  if (ec == beast::http::error::body_limit)
    return refuse(too_large(body_limit));
  if (ec && ec != beast::http::error::need_more)
    return refuse({400, "malformed_request", "the body is malformed: " + ec.message()});
  if (parser->is_done()) {
    at = phase::complete;
    return progress::complete;
  }
  if (end - begin >= limits.buffer_bytes)
    return refuse({400, "malformed_request", "a chunk header or the trailers are too long"});
  return progress::need_more;
}

request_reader::request_reader(const server_limits& limits)
    : impl_(std::make_unique<impl>(limits)) {}
request_reader::~request_reader() = default;

std::span<char> request_reader::space() {
  auto& i = *impl_;
  if (i.begin > 0 && (i.begin == i.end || i.end == i.buffer.size())) {
    std::memmove(i.buffer.data(), i.buffer.data() + i.begin, i.end - i.begin);
    i.end -= i.begin;
    i.begin = 0;
  }
  const bool filling = i.end == i.buffer.size();
  // A body that announced itself as long gets the whole buffer at once: fewer reads.
  const bool long_body =
      i.at == impl::phase::body && i.borders.content_length.value_or(0) > small_buffer;
  if (filling || (long_body && i.buffer.size() < i.limits.buffer_bytes)) {
    const auto wanted = long_body ? i.limits.buffer_bytes : i.buffer.size() * 2;
    i.buffer.resize(std::max(i.buffer.size(), std::min(wanted, i.limits.buffer_bytes)));
  }
  return {i.buffer.data() + i.end, i.buffer.size() - i.end};
}

void request_reader::received(std::size_t count) {
  impl_->end += count;
}

request_reader::progress request_reader::advance() {
  switch (impl_->at) {
  case impl::phase::head:
    return impl_->read_head();
  case impl::phase::undecided:
    return progress::head;
  case impl::phase::body:
    return impl_->read_body();
  case impl::phase::complete:
    return progress::complete;
  case impl::phase::refused:
    break;
  }
  return progress::refused;
}

void request_reader::accept_body(std::size_t limit) {
  auto& i = *impl_;
  i.body_limit = limit;
  i.body.clear();
  if (i.borders.content_length.value_or(0) > limit) {
    i.refuse(too_large(limit));
    return;
  }
  if (!i.borders.has_body()) {
    i.at = impl::phase::complete;
    return;
  }
  i.parser->body_limit(limit);
  i.parser->eager(true);
  i.at = impl::phase::body;
}

void request_reader::next() {
  auto& i = *impl_;
  i.scanner.reset();
  i.parser.reset();
  i.head.fields.clear();
  i.head.method = i.head.target = {};
  i.head.version = 11;
  i.at = impl::phase::head;
  if (i.body.capacity() > small_buffer)
    std::string{}.swap(i.body);
  i.body.clear();
  if (i.begin == i.end && i.buffer.size() > small_buffer) {
    i.buffer = std::vector<char>(small_buffer);
    i.begin = i.end = 0;
  }
}

const request_head& request_reader::head() const {
  return impl_->head;
}
const framing& request_reader::borders() const {
  return impl_->borders;
}
const std::string& request_reader::body() const {
  return impl_->body;
}
std::size_t request_reader::body_memory() const {
  const auto all = impl_->body.capacity();
  return is_small(all) ? 0 : all;
}
bool request_reader::is_small(std::size_t body) {
  return body <= small_buffer;
}
const refusal& request_reader::why() const {
  return impl_->why;
}
bool request_reader::has_bytes() const {
  return impl_->begin != impl_->end;
}

} // namespace troupe::http
