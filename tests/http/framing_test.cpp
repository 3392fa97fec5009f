// The framing guard over whole requests as bytes, without a socket: what Beast 1.74 lets through
// and we must not, what must pass, and every split of the input.
#include "http/reader.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstring>
#include <ostream>
#include <string>
#include <vector>

using namespace troupe::http;
namespace data = boost::unit_test::data;

namespace {

struct outcome {
  int status = 0; ///< of the refusal; 0 when there was none
  std::vector<std::string> requests;
  std::string why;
  std::string body;
  std::size_t fields = 0;
};

/// Feeds the bytes in pieces of `step` and takes every request out of them.
outcome read_all(std::string_view bytes, std::size_t step, std::size_t body_limit = 1024) {
  const server_limits limits;
  request_reader reader{limits};
  outcome out;
  for (;;) {
    switch (reader.advance()) {
    case request_reader::progress::refused:
      out.status = reader.why().status;
      out.why = reader.why().detail;
      return out;
    case request_reader::progress::head:
      out.fields = reader.head().fields.size();
      reader.accept_body(body_limit);
      continue;
    case request_reader::progress::complete:
      out.requests.push_back(std::string{reader.head().method} + ' '
                             + std::string{reader.head().target});
      out.body = reader.body();
      reader.next();
      continue;
    case request_reader::progress::need_more:
      break;
    }
    if (bytes.empty())
      return out;
    const auto room = reader.space();
    const auto count = std::min({step, bytes.size(), room.size()});
    std::memcpy(room.data(), bytes.data(), count);
    reader.received(count);
    bytes.remove_prefix(count);
  }
}

struct refused_case {
  const char* name;
  int status;
  std::string bytes;
};

std::ostream& operator<<(std::ostream& out, const refused_case& c) {
  return out << c.name;
}

const std::string host = "Host: a\r\n";

std::string many_fields(int count) {
  std::string out = "GET / HTTP/1.1\r\n" + host;
  for (int i = 1; i < count; ++i)
    out += "a: b\r\n";
  return out + "\r\n";
}

std::string get_with(const std::string& fields) {
  return "GET / HTTP/1.1\r\n" + host + fields + "\r\n";
}

std::string post_with(const std::string& fields, const std::string& body = {}) {
  return "POST / HTTP/1.1\r\n" + host + fields + "\r\n" + body;
}

std::string chunks(const std::string& body) {
  return post_with("Transfer-Encoding: chunked\r\n", body);
}

const std::vector<refused_case> refused_cases = {
    {"transfer-encoding gzip", 400,
     post_with("Transfer-Encoding: gzip\r\n", "GET /x HTTP/1.1\r\n\r\n")},
    {"transfer-encoding xchunked", 400, post_with("Transfer-Encoding: xchunked\r\n")},
    {"chunked, identity", 400, post_with("Transfer-Encoding: chunked, identity\r\n")},
    {"gzip, chunked", 400, post_with("Transfer-Encoding: gzip, chunked\r\n")},
    {"transfer-encoding twice", 400,
     post_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")},
    {"empty transfer-encoding", 400, post_with("Transfer-Encoding: \r\n")},
    {"length then chunked", 400,
     post_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")},
    {"chunked then length", 400,
     post_with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")},
    {"chunked on 1.0", 400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {"no host", 400, "GET / HTTP/1.1\r\n\r\n"},
    {"two hosts", 400, get_with("Host: b\r\n")},
    {"two equal hosts", 400, get_with(host)},
    {"two hosts on 1.0", 400, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"},
    {"host with a path", 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
    {"host with user", 400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"},
    {"host with a wrong port", 400, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"},
    {"empty host", 400, "GET / HTTP/1.1\r\nHost: \r\n\r\n"},
    {"folded field", 400, get_with("X: a\r\n b\r\n")},
    {"field folded by tab", 400, get_with("X: a\r\n\tb\r\n")},
    {"8-bit target", 400, "GET /\xC3\xA4 HTTP/1.1\r\n" + host + "\r\n"},
    {"fragment in target", 400, "GET /a#b HTTP/1.1\r\n" + host + "\r\n"},
    {"backslash in target", 400, "GET /a\\b HTTP/1.1\r\n" + host + "\r\n"},
    {"target without slash", 400, "GET a HTTP/1.1\r\n" + host + "\r\n"},
    {"absolute target", 400, "GET http://a/ HTTP/1.1\r\n" + host + "\r\n"},
    {"asterisk target", 400, "GET * HTTP/1.1\r\n" + host + "\r\n"},
    {"asterisk with more", 400, "OPTIONS *a HTTP/1.1\r\n" + host + "\r\n"},
    {"authority target", 400, "CONNECT a:80 HTTP/1.1\r\n" + host + "\r\n"},
    {"lower-case method", 501, "get / HTTP/1.1\r\n" + host + "\r\n"},
    {"unknown method", 501, "BREW / HTTP/1.1\r\n" + host + "\r\n"},
    {"two equal lengths", 400, post_with("Content-Length: 1\r\nContent-Length: 1\r\n", "x")},
    {"list of equal lengths", 400, post_with("Content-Length: 1, 1\r\n", "x")},
    {"differing lengths", 400, post_with("Content-Length: 1\r\nContent-Length: 2\r\n", "xx")},
    {"length +5", 400, post_with("Content-Length: +5\r\n", "12345")},
    {"length 0x5", 400, post_with("Content-Length: 0x5\r\n", "12345")},
    {"length -1", 400, post_with("Content-Length: -1\r\n")},
    {"length 2^64", 400, post_with("Content-Length: 18446744073709551616\r\n")},
    {"length 2^63-1", 413, post_with("Content-Length: 9223372036854775807\r\n")},
    {"empty length", 400, post_with("Content-Length: \r\n")},
    {"bare carriage return in a value", 400, get_with("X: a\rb\r\n")},
    {"bare line feed", 400, "GET / HTTP/1.1\nHost: a\n\n"},
    {"bare line feed after a field", 400, "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"},
    {"NUL in a value", 400, get_with(std::string{"X: a\0b\r\n", 8})},
    {"BEL in a value", 400, get_with("X: a\ab\r\n")},
    {"bad field name", 400, get_with("X(: a\r\n")},
    {"space before the colon", 400, get_with("X : a\r\n")},
    {"line without colon", 400, get_with("X\r\n")},
    {"HTTP/2.0", 505, "GET / HTTP/2.0\r\n" + host + "\r\n"},
    {"HTTP/0.9", 505, "GET / HTTP/0.9\r\n\r\n"},
    {"two spaces in the request line", 400, "GET  / HTTP/1.1\r\n" + host + "\r\n"},
    {"TLS hello", 400, std::string{"\x16\x03\x01\x02\x00", 5}},
    {"two empty lines first", 400, "\r\n\r\nGET / HTTP/1.1\r\n" + host + "\r\n"},
    {"chunk size 0x5", 400, chunks("0x5\r\n12345\r\n0\r\n\r\n")},
    {"chunk size -5", 400, chunks("-5\r\n12345\r\n0\r\n\r\n")},
    {"chunk size with a space", 400, chunks("5 \r\n12345\r\n0\r\n\r\n")},
    {"chunk size beyond 64 bits", 400, chunks("10000000000000005\r\n12345\r\n0\r\n\r\n")},
    {"chunk without its line end", 400, chunks("5\r\n12345xx0\r\n\r\n")},
    {"length in a trailer", 400, chunks("0\r\nContent-Length: 5\r\n\r\n")},
    {"chunks beyond the limit", 413, chunks("401\r\n" + std::string(0x401, 'x') + "\r\n0\r\n\r\n")},
    {"length beyond the limit", 413, post_with("Content-Length: 1025\r\n")},
    {"endless chunk extension", 400, chunks("5;a=" + std::string(100'000, 'x'))},
    {"endless trailers", 400, chunks("0\r\nA: " + std::string(100'000, 'x'))},
    {"101 fields", 431, many_fields(101)},
    {"head of 20 KiB", 431, get_with("X: " + std::string(20'000, 'x') + "\r\n")},
    {"head of 20 KiB that does not end", 431, "GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x')},
    {"target of 9 KiB", 414, "GET /" + std::string(9'000, 'x') + " HTTP/1.1\r\n" + host + "\r\n"},
    {"target that does not end", 414, "GET /" + std::string(9'000, 'x')},
    {"unknown expectation", 417, post_with("Expect: tea\r\nContent-Length: 1\r\n", "x")},
};

} // namespace

BOOST_DATA_TEST_CASE(a_request_with_doubtful_borders_is_refused, data::make(refused_cases), c) {
  const auto whole = read_all(c.bytes, c.bytes.size());
  BOOST_TEST(whole.status == c.status);
  BOOST_TEST(whole.requests.empty());
  const auto bytewise = read_all(c.bytes, 1);
  BOOST_TEST(bytewise.status == c.status);
  BOOST_TEST(bytewise.requests.empty());
}

BOOST_AUTO_TEST_CASE(limits_let_pass_what_just_fits) {
  BOOST_TEST(read_all(many_fields(100), 4096).status == 0);
  const server_limits limits;
  const auto target = [&](std::size_t length) {
    return "GET /" + std::string(length - 1, 'x') + " HTTP/1.1\r\n" + host + "\r\n";
  };
  BOOST_TEST(read_all(target(limits.target_bytes), 4096).status == 0);
  BOOST_TEST(read_all(target(limits.target_bytes + 1), 4096).status == 414);
  const auto head = [&](std::size_t length) {
    return get_with("X: " + std::string(length - get_with("X: \r\n").size(), 'x') + "\r\n");
  };
  BOOST_TEST(head(limits.head_bytes).size() == limits.head_bytes);
  BOOST_TEST(read_all(head(limits.head_bytes), 4096).status == 0);
  BOOST_TEST(read_all(head(limits.head_bytes + 1), 4096).status == 431);
  BOOST_TEST(read_all(post_with("Content-Length: 1024\r\n", std::string(1024, 'x')), 100).status
             == 0);
  BOOST_TEST(read_all(chunks("400\r\n" + std::string(0x400, 'x') + "\r\n0\r\n\r\n"), 100).status
             == 0);
}

BOOST_AUTO_TEST_CASE(requests_are_the_same_however_their_bytes_are_split) {
  const auto bytes = "\r\n"
                     + post_with("Transfer-Encoding: Chunked\r\n",
                                 "5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nAuthorization: x\r\n\r\n")
                     + get_with("X: y\r\n") + post_with("Content-Length: 3\r\n", "abc");
  const std::vector<std::string> wanted = {"POST /", "GET /", "POST /"};
  for (std::size_t step = 1; step <= bytes.size(); ++step) {
    const auto out = read_all(bytes, step);
    BOOST_TEST_CONTEXT("pieces of " << step) {
      BOOST_TEST(out.status == 0, out.why);
      BOOST_TEST(out.requests == wanted, boost::test_tools::per_element());
      BOOST_TEST(out.body == "abc");
    }
  }
}

BOOST_AUTO_TEST_CASE(a_final_chunk_split_in_three_is_whole) {
  const server_limits limits;
  request_reader reader{limits};
  const auto feed = [&](std::string_view bytes) {
    const auto room = reader.space();
    std::memcpy(room.data(), bytes.data(), bytes.size());
    reader.received(bytes.size());
    return reader.advance();
  };
  BOOST_REQUIRE(feed(chunks("")) == request_reader::progress::head);
  reader.accept_body(100);
  BOOST_TEST((feed("0\r\n") == request_reader::progress::need_more));
  BOOST_TEST((feed("\r") == request_reader::progress::need_more));
  BOOST_TEST((feed("\n") == request_reader::progress::complete));
  BOOST_TEST(reader.body().empty());
}

BOOST_AUTO_TEST_CASE(trailers_never_become_headers) {
  const server_limits limits;
  request_reader reader{limits};
  const auto bytes = chunks("1\r\nx\r\n0\r\nAuthorization: Bearer x\r\n\r\n");
  const auto room = reader.space();
  std::memcpy(room.data(), bytes.data(), bytes.size());
  reader.received(bytes.size());
  BOOST_REQUIRE((reader.advance() == request_reader::progress::head));
  reader.accept_body(100);
  BOOST_REQUIRE((reader.advance() == request_reader::progress::complete));
  BOOST_TEST(reader.head().field("authorization").empty());
  BOOST_TEST(reader.head().fields.size() == 2U);
  BOOST_TEST(reader.body() == "x");
}

BOOST_AUTO_TEST_CASE(what_the_head_says_about_the_connection_is_understood) {
  const server_limits limits;
  const auto judge = [&](int version, std::vector<head_field> fields) {
    request_head head;
    head.method = "GET";
    head.target = "/";
    head.version = version;
    head.fields = std::move(fields);
    head.fields.push_back({"HOST", "[::1]:8080"});
    return std::get<framing>(validate_framing(head, limits));
  };
  BOOST_TEST(judge(11, {}).keep_alive);
  BOOST_TEST(!judge(11, {{"Connection", "x , Close"}}).keep_alive);
  BOOST_TEST(!judge(10, {}).keep_alive);
  BOOST_TEST(judge(10, {{"connection", "keep-alive"}}).keep_alive);
  BOOST_TEST(!judge(10, {{"connection", "keep-alive, close"}}).keep_alive);
  BOOST_TEST(judge(11, {{"Expect", "100-Continue"}}).expects_continue);
  BOOST_TEST(!judge(10, {{"Expect", "100-continue"}}).expects_continue);
  BOOST_TEST((judge(11, {{"Content-Length", "0012"}}).content_length == 12U));
  BOOST_TEST(host_name(judge(11, {}).host) == "[::1]");
}
