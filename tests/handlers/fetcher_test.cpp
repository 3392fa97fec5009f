// The fetcher against a server that behaves and misbehaves, on loopback.
#include "handlers/fetcher.hpp"
#include "tests/support/await.hpp"
#include "tests/support/tiny_site.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstdlib>
#include <future>
#include <netinet/in.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace troupe;
using namespace troupe::tests;
using manner = site_answer::manner;

/// Bits of a deflate stream, as RFC 1951 packs them.
struct bit_writer {
  std::string out;
  unsigned filled = 0;
  void bits(unsigned value, unsigned count) {
    for (unsigned i = 0; i < count; ++i, filled = (filled + 1) % 8) {
      if (filled == 0)
        out += '\0';
      out.back() =
          static_cast<char>(static_cast<unsigned char>(out.back()) | ((value >> i) & 1U) << filled);
    }
  }
  void code(unsigned value, unsigned count) {
    while (count-- > 0)
      bits((value >> count) & 1U, 1);
  }
};

const std::string gzip_header("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);

/// A gzip stream of `times` * 258 + 1 letters 'a'; its check sum is missing, so it never ends well.
std::string gzip_bomb(int times) {
  bit_writer w;
  w.bits(1, 1);
  w.bits(1, 2); // fixed codes
  w.code(0x30 + 'a', 8);
  for (int i = 0; i < times; ++i) {
    w.code(0xC5, 8); // length 258
    w.code(0, 5);    // distance 1
  }
  w.code(0, 7);
  return gzip_header + w.out;
}

std::uint32_t crc32(std::string_view text) {
  std::uint32_t crc = ~0U;
  for (char c : text) {
    crc ^= static_cast<unsigned char>(c);
    for (int i = 0; i < 8; ++i)
      crc = crc >> 1U ^ (0xEDB88320U & (0U - (crc & 1U)));
  }
  return ~crc;
}

std::string gzip(std::string_view text) {
  std::string out = gzip_header + '\x01';
  const auto put = [&out](std::uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i)
      out += static_cast<char>(value >> (8 * i) & 0xFFU);
  };
  const auto size = static_cast<std::uint32_t>(text.size());
  put(size, 2);
  put(~size, 2);
  out += text;
  put(crc32(text), 4);
  put(size, 4);
  return out;
}

site_answer html(std::string body) {
  return {.body = std::move(body)};
}
site_answer moved(const std::string& to) {
  return {.status = 302, .body = "moved", .headers = "Location: " + to + "\r\n"};
}

fetcher_options on_loopback() {
  fetcher_options options;
  options.allow_private = true;
  return options;
}

struct setting {
  explicit setting(tiny_site::route answers, fetcher_options options = on_loopback())
      : site(loop, std::move(answers)), pages(std::make_unique<fetcher>(loop, std::move(options))) {
  }

  std::future<fetch_response> start(const std::string& url, std::stop_token stop = {}) {
    auto answer = std::make_shared<std::promise<fetch_response>>();
    pages->fetch({url, std::move(stop)},
                 [answer](fetch_response r) { answer->set_value(std::move(r)); });
    return answer->get_future();
  }
  static fetch_response await(std::future<fetch_response> answer) {
    if (answer.wait_for(patience) != std::future_status::ready)
      throw std::runtime_error("no answer");
    return answer.get();
  }
  fetch_response get(const std::string& target) { return await(start(site.url(target))); }

  poll_loop loop;
  tiny_site site;
  std::unique_ptr<fetcher> pages;
};

} // namespace

BOOST_AUTO_TEST_CASE(a_page_comes_with_its_status_type_and_body) {
  setting s([](const std::string&) { return html("<p>hello"); });
  const auto r = s.get("/a?b=c");
  BOOST_TEST(r.reason == "");
  BOOST_TEST(r.status == 200);
  BOOST_TEST(r.body == "<p>hello");
  BOOST_TEST(r.content_type == "text/html; charset=utf-8");
  BOOST_TEST(r.url == s.site.url("/a?b=c"));
  const auto request = s.site.last_request();
  BOOST_TEST(request.find("User-Agent: troupe/0.1\r\n") != std::string::npos);
  BOOST_TEST(request.find("Accept-Encoding: gzip, deflate\r\n") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(one_connection_serves_fetch_after_fetch) {
  setting s([](const std::string&) { return html("x"); });
  for (int i = 0; i < 50; ++i)
    BOOST_TEST(s.get("/" + std::to_string(i)).status == 200);
  BOOST_TEST(s.site.connections() == 1);
}

BOOST_AUTO_TEST_CASE(a_thousand_fetches_share_the_connections_allowed_per_host) {
  auto options = on_loopback();
  options.connections_per_host = 8;
  setting s([](const std::string& target) { return html(target); }, options);
  std::vector<std::future<fetch_response>> answers;
  for (int i = 0; i < 1000; ++i)
    answers.push_back(s.start(s.site.url("/" + std::to_string(i))));
  int right = 0;
  for (int i = 0; i < 1000; ++i)
    right += setting::await(std::move(answers[static_cast<std::size_t>(i)])).body
                     == "/" + std::to_string(i)
                 ? 1
                 : 0;
  BOOST_TEST(right == 1000);
  BOOST_TEST(s.site.connections() <= 8);
}

BOOST_AUTO_TEST_CASE(sixty_four_transfers_run_at_once_and_no_more) {
  auto options = on_loopback();
  options.connections_per_host = 200;
  setting s([](const std::string&) { return site_answer{.how = manner::silent}; }, options);
  std::vector<std::future<fetch_response>> answers;
  for (int i = 0; i < 100; ++i)
    answers.push_back(s.start(s.site.url("/")));
  // The 65th waits inside the fetcher, so taking the fetcher away ends all 100.
  BOOST_TEST(s.loop.turn_until([&] { return s.site.requests() >= 64; }));
  for (int i = 0; i < 50; ++i)
    s.loop.run([] {});
  BOOST_TEST(s.site.most_at_once() == 64);
  s.pages.reset();
  for (auto& answer : answers)
    BOOST_TEST((setting::await(std::move(answer)).error == fetch_error::stopping));
}

BOOST_AUTO_TEST_CASE(compressed_pages_are_decoded) {
  setting s([](const std::string&) {
    return site_answer{.body = gzip("<p>packed"), .headers = "Content-Encoding: gzip\r\n"};
  });
  const auto r = s.get("/");
  BOOST_TEST(r.reason == "");
  BOOST_TEST(r.body == "<p>packed");
}

BOOST_AUTO_TEST_CASE(a_gzip_bomb_is_cut_at_the_cap_of_decoded_bytes) {
  setting s([](const std::string&) {
    return site_answer{.body = gzip_bomb(400'000), .headers = "Content-Encoding: gzip\r\n"};
  });
  const auto r = s.get("/");
  BOOST_TEST((r.error == fetch_error::too_large));
  BOOST_TEST(r.body.size() <= 8U * 1024 * 1024);
  BOOST_TEST(r.reason == "the decoded body is larger than 8388608 bytes");
}

BOOST_AUTO_TEST_CASE(an_endless_body_is_cut_and_the_fetcher_goes_on) {
  setting s([](const std::string& target) {
    return target == "/endless" ? site_answer{.how = manner::endless_body} : html("x");
  });
  BOOST_TEST((s.get("/endless").error == fetch_error::too_large));
  BOOST_TEST(s.get("/").status == 200);
}

BOOST_AUTO_TEST_CASE(endless_headers_are_cut) {
  setting s([](const std::string&) { return site_answer{.how = manner::endless_headers}; });
  const auto r = s.get("/");
  BOOST_TEST((r.error == fetch_error::too_large), r.reason);
}

BOOST_AUTO_TEST_CASE(a_silent_or_dripping_server_ends_in_a_timeout) {
  auto options = on_loopback();
  options.total_time = std::chrono::milliseconds{100};
  setting silent([](const std::string&) { return site_answer{.how = manner::silent}; }, options);
  BOOST_TEST((silent.get("/").error == fetch_error::timeout));
  options.total_time = std::chrono::seconds{3}; // its status has to come before that
  setting dripping([](const std::string&) { return site_answer{.how = manner::drip}; }, options);
  const auto r = dripping.get("/");
  BOOST_TEST((r.error == fetch_error::timeout));
  BOOST_TEST(r.status == 200);
}

BOOST_AUTO_TEST_CASE(redirects_are_followed_inside_the_site) {
  setting s([](const std::string& target) {
    if (target == "/1")
      return moved("/2");
    return target == "/2" ? moved("3?x#y") : html("end");
  });
  const auto r = s.get("/1");
  BOOST_TEST(r.status == 200);
  BOOST_TEST(r.body == "end");
  BOOST_TEST(r.url == s.site.url("/3?x"));
}

BOOST_AUTO_TEST_CASE(redirects_out_of_the_site_are_told_but_not_followed) {
  poll_loop loop;
  tiny_site other(loop, [](const std::string&) { return html("secret"); });
  const auto elsewhere = other.url("/");
  setting s([&](const std::string& target) {
    return moved(target == "/file" ? "file:///etc/passwd" : elsewhere);
  });
  const auto r = s.get("/");
  BOOST_TEST((r.error == fetch_error::none));
  BOOST_TEST(r.status == 302);
  BOOST_TEST(r.location == elsewhere);
  BOOST_TEST(other.connections() == 0);
  const auto file = s.get("/file");
  BOOST_TEST(file.status == 302);
  BOOST_TEST(file.body == "moved");
}

BOOST_AUTO_TEST_CASE(a_redirect_loop_ends_after_five) {
  setting s([](const std::string&) { return moved("/"); });
  BOOST_TEST((s.get("/").error == fetch_error::redirects));
  BOOST_TEST(s.site.requests() == 6);
}

BOOST_AUTO_TEST_CASE(inner_addresses_are_refused_in_every_spelling_before_connecting) {
  fetcher_options options;
  setting s([](const std::string&) { return html("secret"); }, options);
  const auto port = ":" + std::to_string(s.site.port()) + "/";
  for (const auto* host :
       {"127.0.0.1", "localhost", "2130706433", "0x7f000001", "017700000001", "127.1", "0", "[::1]",
        "[::ffff:127.0.0.1]", "10.0.0.1", "169.254.169.254", "[fe80::1]"}) {
    const auto r = setting::await(s.start("http://" + std::string(host) + port));
    BOOST_TEST((r.error == fetch_error::refused), host << ": " << r.reason);
    BOOST_TEST(!is_transient(r.error));
  }
  BOOST_TEST(s.site.connections() == 0);
}

BOOST_AUTO_TEST_CASE(only_http_is_spoken_and_no_proxy_of_the_environment_is_used) {
  ::setenv("http_proxy", "http://127.0.0.1:9/", 1);
  setting s([](const std::string&) { return html("direct"); });
  BOOST_TEST(s.get("/").body == "direct");
  ::unsetenv("http_proxy");
  for (const auto* url : {"file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/"})
    BOOST_TEST((setting::await(s.start(url)).error == fetch_error::refused), url);
}

BOOST_AUTO_TEST_CASE(failures_are_told_by_category) {
  setting s([](const std::string&) { return site_answer{.how = manner::reset}; });
  BOOST_TEST((s.get("/").error == fetch_error::protocol));
  const auto https = "https://127.0.0.1:" + std::to_string(s.site.port()) + "/";
  BOOST_TEST((setting::await(s.start(https)).error == fetch_error::tls));
  BOOST_TEST((setting::await(s.start("http://" + std::string(64, 'a') + ".invalid/")).error
              == fetch_error::dns));
  // A port that was just given back: nobody listens there.
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in free_port{};
  free_port.sin_family = AF_INET;
  free_port.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof free_port;
  auto* any = reinterpret_cast<sockaddr*>(&free_port);
  BOOST_TEST_REQUIRE(::bind(fd, any, length) == 0);
  BOOST_TEST_REQUIRE(::getsockname(fd, any, &length) == 0);
  const auto nobody = "http://127.0.0.1:" + std::to_string(ntohs(free_port.sin_port)) + "/";
  const auto r = setting::await(s.start(nobody));
  ::close(fd);
  BOOST_TEST((r.error == fetch_error::connect));
  BOOST_TEST(is_transient(r.error));
}

BOOST_AUTO_TEST_CASE(a_server_says_how_long_to_wait) {
  setting s([](const std::string&) {
    return site_answer{.status = 429, .headers = "Retry-After: 7\r\n"};
  });
  const auto r = s.get("/");
  BOOST_TEST(r.status == 429);
  BOOST_TEST_REQUIRE(r.retry_after.has_value());
  BOOST_TEST(r.retry_after->count() == 7);
}

BOOST_AUTO_TEST_CASE(a_stop_ends_a_fetch_that_runs_or_waits) {
  auto options = on_loopback();
  options.max_transfers = 1;
  setting s([](const std::string&) { return site_answer{.how = manner::silent}; }, options);
  std::stop_source running;
  std::stop_source waiting;
  auto first = s.start(s.site.url("/1"), running.get_token());
  auto second = s.start(s.site.url("/2"), waiting.get_token());
  BOOST_TEST(s.loop.turn_until([&] { return s.site.requests() >= 1; }));
  waiting.request_stop();
  BOOST_TEST((setting::await(std::move(second)).error == fetch_error::cancelled));
  running.request_stop();
  BOOST_TEST((setting::await(std::move(first)).error == fetch_error::cancelled));
  std::stop_source before;
  before.request_stop();
  BOOST_TEST((setting::await(s.start(s.site.url("/3"), before.get_token())).error
              == fetch_error::cancelled));
}

BOOST_AUTO_TEST_CASE(a_full_waiting_line_is_answered_at_once) {
  auto options = on_loopback();
  options.max_transfers = 1;
  options.max_waiting = 2;
  setting s([](const std::string&) { return site_answer{.how = manner::silent}; }, options);
  std::vector<std::future<fetch_response>> admitted;
  for (int i = 0; i < 3; ++i)
    admitted.push_back(s.start(s.site.url("/")));
  BOOST_TEST((setting::await(s.start(s.site.url("/"))).error == fetch_error::overloaded));
  s.pages.reset();
  for (auto& answer : admitted)
    BOOST_TEST((setting::await(std::move(answer)).error == fetch_error::stopping));
}
