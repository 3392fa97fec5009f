// A request and a response as routes see them: plain text and numbers, no Beast, no socket.
#pragma once

#include "http/framing.hpp"
#include "http/identity.hpp"
#include "http/problem.hpp"
#include "messages/job_export.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::http {

enum class method : std::uint8_t { get, head, post, put, patch, del, options, trace, connect };

/// Nothing for a method this server has never heard of.
std::optional<method> parse_method(std::string_view name);
std::string_view to_string(method value);

/// The views live until the handler returns; what an answer needs later must be copied.
struct request_view {
  method verb = method::get;
  std::string_view path;  ///< as sent, still percent-encoded
  std::string_view query; ///< behind the `?`, still percent-encoded
  std::string param;      ///< the path's {id}, decoded
  std::string_view body;
  const request_head* head = nullptr;
  const token_identity* who = nullptr; ///< null: nobody was asked
  std::string_view request_id = {};
  std::string_view traceparent = {}; ///< of what is done for it; empty: it names no trace
};

/// As it is written down with what the request changes.
asker by_whom(const request_view& request);

struct response {
  int status = 200;
  std::string_view content_type = "application/json"; ///< of static storage
  std::string body;
  std::string location; ///< empty: no such header
  std::string allow;    ///< the same
  /// The same. With one the answer may be kept by whoever asks each time whether it still holds.
  std::string etag;
  bool keep = true; ///< false: not even then, since the tag is of a part of the answer only
  std::string_view more_fields; ///< further lines of the head, with their ends; of static storage
  bool replayed = false;        ///< Idempotent-Replayed
  std::optional<problem> fault; ///< instead of a body; written as problem+json on the way out
  /// Instead of a body; the head goes out with the first piece.
  std::shared_ptr<text_source> stream;
  bool streamed = false; ///< the head of such an answer; HEAD has it without a stream
  std::optional<std::uint64_t> length = {}; ///< of the stream, where it is known
  std::string content_range = {};           ///< empty: no such header
  bool takes_ranges = false;                ///< Accept-Ranges
  bool gzip = false;                        ///< Content-Encoding
  bool varies = false; ///< whether by Accept-Encoding; a stream without a length always does
  std::string file;    ///< what a browser saves it as; empty: no Content-Disposition
};

/// Gives the answer. At most once, from any thread; when every copy dies without one, the client
/// gets 503.
using responder = std::function<void(response)>;

response json_response(int status, std::string body);
response problem_response(problem fault);

/// What the head of a response needs besides the response.
struct head_context {
  std::string_view date; ///< IMF-fixdate
  std::string_view request_id;
  bool keep_alive = true;
  int version = 11;
  std::string_view traceparent = {}; ///< given back; empty: not
  std::string_view more_fields = {}; ///< further lines, with their ends
};

/// Appends status line and fields, the empty line included.
void append_head(std::string& out, const response& answer, const head_context& context);
std::string_view reason_phrase(int status);
/// False for answers that end with their head.
bool has_content(int status);
/// True for an X-Request-Id that may be echoed and logged: [A-Za-z0-9._:-]{1,128}.
bool is_sane_request_id(std::string_view id);

} // namespace troupe::http
