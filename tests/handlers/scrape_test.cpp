// Crawls over a small site, with the store in memory: every page once, whatever the site does.
#include "handlers/scrape.hpp"
#include "tests/handlers/memory_port.hpp"
#include "tests/handlers/runs.hpp"
#include "tests/support/tiny_site.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>

namespace {

using namespace troupe;
using namespace troupe::tests;
using verdict = job_result::verdict;

std::string links(std::initializer_list<const char*> hrefs) {
  std::string page = "<title>t</title><h1>h</h1>";
  for (const auto* href : hrefs)
    page += "<a href=\"" + std::string(href) + "\">x</a>";
  return page;
}

scrape_options quick() {
  scrape_options options;
  options.progress_interval = std::chrono::milliseconds{20};
  return options;
}

crawl_spec crawled(std::string url) {
  crawl_spec spec;
  spec.url = std::move(url);
  return spec;
}

fetcher_options on_loopback(bool allow) {
  fetcher_options options;
  options.allow_private = allow;
  return options;
}

/// An engine in small: page jobs that the port queues are run at once, failed ones again until
/// their attempts are used up.
struct crawler {
  explicit crawler(tiny_site::route answers, bool allow_private = true)
      : port([this](job_id id, const std::string& args) { run_page(id, args, 1); }),
        site(loop, std::move(answers)), pages(loop, on_loopback(allow_private)) {
    add_scrape(kinds, {loop, workers, port, pages, quick()});
  }
  ~crawler() {
    // What still runs, and what the port was asked, refers to the members: let it come to rest.
    loop.turn_until([this] { return running.load() == 0; });
    loop.run([] {});
    port.pages(job_id{crawl_id});
    loop.run([] {});
  }

  void run_page(job_id id, const std::string& args, int attempt) {
    auto run = std::make_shared<job_run>();
    run->id = id;
    run->attempt = attempt;
    run->kind = "scrape.page";
    run->args = args;
    run->stop = page_stop.get_token();
    ++running;
    kinds.at("scrape.page").start(run, completion([this, id, args, attempt](const job_result& r) {
                                    if (r.kind == verdict::failed && attempt < 3 && retry)
                                      run_page(id, args, attempt + 1);
                                    --running;
                                  }));
  }

  one_run crawl(const std::string& rest = "") {
    return one_run("scrape", R"({"url":")" + site.url("/") + "\"" + rest + "}", crawl_id);
  }
  page_outcome page(const std::string& target) {
    for (const auto& [id, p] : port.pages(job_id{crawl_id}))
      if (p.url == site.url(target))
        return p;
    throw std::runtime_error("not recorded: " + target);
  }

  static constexpr std::int64_t crawl_id = 17;
  std::atomic<int> running{0};
  bool retry = true;
  std::stop_source page_stop;
  handler_table kinds;
  memory_port port; // goes after the threads that call it
  poll_loop loop;
  tiny_site site;
  two_workers workers;
  fetcher pages;
};

site_answer html(std::string body) {
  return {.body = std::move(body)};
}
site_answer status(int code) {
  return {.status = code, .body = "no"};
}

} // namespace

BOOST_AUTO_TEST_CASE(
    a_site_with_cycles_dead_links_and_links_elsewhere_is_fetched_page_by_page_once) {
  crawler c([](const std::string& target) {
    if (target == "/")
      return html(links({"/", "a", "b#x", "b#y", "gone", "http://other.invalid/", "mailto:x@y"}));
    if (target == "/a")
      return html(links({"/b", "/", "./a"}));
    if (target == "/b")
      return html(links({"/a", "c/../c", "?"}));
    return target == "/c" ? html(links({})) : status(404);
  });
  const auto result = c.crawl().start(c.kinds).result();
  BOOST_TEST((result.kind == verdict::completed), result.error);
  BOOST_TEST(result.result.starts_with(R"({"pages":5,"fetched":4,"failed":1,"bytes":)"),
             result.result);
  for (const auto* target : {"/", "/a", "/b", "/c", "/gone"})
    BOOST_TEST(c.site.hits(target) == 1, target);
  BOOST_TEST(c.site.requests() == 5);
  const auto start = c.page("/");
  BOOST_TEST(start.title == "t");
  BOOST_TEST(start.headings == 1);
  BOOST_TEST(start.links == 7);
  BOOST_TEST(c.page("/gone").status == 404);
  BOOST_TEST(c.page("/gone").error == "HTTP 404");
  BOOST_TEST(c.page("/c").depth == 2);
}

BOOST_AUTO_TEST_CASE(depth_and_page_limits_hold) {
  const auto endless = [](const std::string& target) {
    return html(links({(target + "x").c_str(), (target + "y").c_str()}));
  };
  crawler deep(endless);
  const auto two = deep.crawl(R"(,"max_depth":2)").start(deep.kinds).result();
  BOOST_TEST(two.result.starts_with(R"({"pages":7,"fetched":7,"failed":0)"), two.result);
  crawler wide(endless);
  const auto ten = wide.crawl(R"(,"max_pages":10)").start(wide.kinds).result();
  BOOST_TEST(ten.result.starts_with(R"({"pages":10,"fetched":10,"failed":0)"), ten.result);
  BOOST_TEST(wide.site.requests() == 10);
}

BOOST_AUTO_TEST_CASE(selectors_become_the_fields_of_each_item) {
  crawler c([](const std::string& target) {
    return html(target == "/" ? links({"a"}) : "<h1>one</h1><h1>two</h1>");
  });
  const auto r = c.crawl(R"j(,"selectors":{"h":"//h1","n":"count(//a)"})j").start(c.kinds).result();
  BOOST_TEST((r.kind == verdict::completed), r.error);
  BOOST_TEST(c.page("/").fields == R"({"h":["h"],"n":1})");
  BOOST_TEST(c.page("/a").fields == R"({"h":["one","two"],"n":0})");
  BOOST_TEST(c.port.spec_reads == 1);
}

BOOST_AUTO_TEST_CASE(redirects_inside_give_the_final_page_and_those_outside_a_status) {
  crawler c([](const std::string& target) {
    if (target == "/")
      return html(links({"moved", "away"}));
    if (target == "/moved")
      return site_answer{.status = 301, .headers = "Location: /dir/final\r\n"};
    if (target == "/away")
      return site_answer{.status = 302, .headers = "Location: http://other.invalid/\r\n"};
    return html(target == "/dir/final" ? "<title>final</title><a href=next>x</a>" : "");
  });
  const auto r = c.crawl().start(c.kinds).result();
  BOOST_TEST(r.result.starts_with(R"({"pages":4,"fetched":4,"failed":0)"), r.result);
  BOOST_TEST(c.page("/moved").title == "final");
  BOOST_TEST(c.page("/moved").status == 200);
  BOOST_TEST(c.page("/away").status == 302);
  BOOST_TEST(c.page("/away").error == "");
  BOOST_TEST(c.page("/dir/next").status == 200);
}

BOOST_AUTO_TEST_CASE(a_start_page_that_leads_elsewhere_says_where_to_start) {
  crawler c([](const std::string&) {
    return site_answer{.status = 301, .headers = "Location: http://www.other.invalid/\r\n"};
  });
  const auto r = c.crawl().start(c.kinds).result();
  BOOST_TEST(r.result.starts_with(R"({"pages":1,"fetched":0,"failed":1)"), r.result);
  BOOST_TEST(c.page("/").error.find("http://www.other.invalid/") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_is_no_page_is_recorded_with_its_reason) {
  crawler c([](const std::string& target) {
    if (target == "/")
      return html(links({"pdf", "huge", "deep"}));
    if (target == "/pdf")
      return site_answer{.type = "application/pdf", .body = "%PDF <a href=x>"};
    if (target == "/huge")
      return site_answer{.how = site_answer::manner::endless_body};
    std::string deep;
    for (int i = 0; i < 1000; ++i)
      deep += "<div>";
    return html(deep);
  });
  const auto r = c.crawl().start(c.kinds).result();
  BOOST_TEST(r.result.starts_with(R"({"pages":4,"fetched":1,"failed":3)"), r.result);
  BOOST_TEST(c.page("/pdf").error == "not an HTML page: application/pdf");
  BOOST_TEST(c.page("/pdf").bytes == 15);
  BOOST_TEST(c.page("/huge").error.starts_with("too large: "));
  BOOST_TEST(c.page("/deep").error.starts_with("elements nested deeper"));
}

BOOST_AUTO_TEST_CASE(passing_failures_are_tried_three_times_and_then_recorded) {
  std::atomic<int> flaky{0};
  crawler c([&](const std::string& target) {
    if (target == "/")
      return html(links({"down", "flaky", "cut"}));
    if (target == "/cut")
      return site_answer{.how = site_answer::manner::reset};
    return target == "/flaky" && ++flaky == 3 ? html("ok") : status(503);
  });
  const auto r = c.crawl().start(c.kinds).result();
  BOOST_TEST(r.result.starts_with(R"({"pages":4,"fetched":2,"failed":2)"), r.result);
  BOOST_TEST(c.site.hits("/down") == 3);
  BOOST_TEST(c.site.hits("/flaky") == 3);
  BOOST_TEST(c.page("/down").error == "HTTP 503");
  BOOST_TEST(c.page("/cut").error.starts_with("protocol: "));
}

BOOST_AUTO_TEST_CASE(a_failed_attempt_says_when_to_try_again) {
  crawler c([](const std::string& target) {
    return target == "/busy" ? site_answer{.status = 429, .headers = "Retry-After: 30\r\n"}
                             : status(500);
  });
  c.port.know(job_id{17}, crawled(c.site.url("/")));
  const auto page = [&](const char* target, int attempt) {
    return one_run("scrape.page",
                   R"({"crawl":"17","url":")" + c.site.url(target) + R"(","depth":1})", 5, attempt)
        .start(c.kinds)
        .result();
  };
  using namespace std::chrono_literals;
  BOOST_TEST((page("/x", 1).retry_in == 1s));
  BOOST_TEST((page("/x", 2).retry_in == 4s));
  BOOST_TEST((page("/busy", 1).retry_in == 30s));
  const auto last = page("/x", 3);
  BOOST_TEST((last.kind == verdict::discarded));
  BOOST_TEST(last.error == "HTTP 500");
}

BOOST_AUTO_TEST_CASE(a_private_address_is_recorded_as_refused_without_a_second_try) {
  crawler c([](const std::string&) { return html("secret"); }, false);
  const auto r = c.crawl().start(c.kinds).result();
  BOOST_TEST(r.result.starts_with(R"({"pages":1,"fetched":0,"failed":1)"), r.result);
  BOOST_TEST(c.page("/").error == "refused: refused to connect to 127.0.0.1: not a public address");
  BOOST_TEST(c.site.connections() == 0);
}

BOOST_AUTO_TEST_CASE(a_crawl_that_runs_again_finds_itself_open_and_fetches_nothing_twice) {
  crawler c([](const std::string&) { return html(links({"a", "b"})); });
  c.crawl().start(c.kinds).result();
  const auto again = c.crawl().start(c.kinds).result();
  BOOST_TEST(again.result.starts_with(R"({"pages":3,"fetched":3,"failed":0)"), again.result);
  BOOST_TEST(c.site.requests() == 3);
}

BOOST_AUTO_TEST_CASE(a_cancelled_crawl_is_closed_and_a_merely_stopped_one_is_not) {
  crawler c([](const std::string&) { return site_answer{.how = site_answer::manner::silent}; });
  c.retry = false;
  auto stopped = c.crawl();
  stopped.start(c.kinds);
  BOOST_TEST(c.loop.turn_until([&] { return c.site.requests() > 0; }));
  stopped.stop();
  const auto first = stopped.result();
  BOOST_TEST((first.kind == verdict::failed));
  BOOST_TEST(first.error == "stopped while waiting for its pages");
  BOOST_TEST(c.port.closes == 0);

  job_record cancelled;
  cancelled.id = job_id{crawler::crawl_id};
  cancelled.kind = "scrape";
  cancelled.state = job_state::cancelled;
  c.port.stored_jobs = {cancelled};
  auto again = c.crawl();
  again.start(c.kinds).stop();
  const auto second = again.result();
  BOOST_TEST((second.kind == verdict::failed));
  BOOST_TEST(second.error == "cancelled");
  BOOST_TEST(c.port.closes == 1);
  c.page_stop.request_stop();
}

BOOST_AUTO_TEST_CASE(wrong_args_are_discarded_with_the_field_that_is_wrong) {
  crawler c([](const std::string&) { return html("x"); });
  const std::vector<std::pair<std::string, std::string>> table = {
      {"", "args"},
      {"[]", "args"},
      {"{}", "url"},
      {R"({"url":5})", "url"},
      {R"({"url":"ftp://a/"})", "url"},
      {R"({"url":"http://u:p@a/"})", "url"},
      {R"({"url":"http://a/","url":"http://b/"})", "url: given more than once"},
      {R"({"url":"http://a/","depth":1})", "depth: unknown field"},
      {R"({"url":"http://a/","max_depth":-1})", "max_depth"},
      {R"({"url":"http://a/","max_depth":1.5})", "max_depth"},
      {R"({"url":"http://a/","max_depth":"1"})", "max_depth"},
      {R"({"url":"http://a/","max_depth":true})", "max_depth"},
      {R"({"url":"http://a/","max_pages":0})", "max_pages"},
      {R"({"url":"http://a/","max_pages":18446744073709551615})", "max_pages"},
      {R"({"url":"http://a/","max_pages":4294967297})", "max_pages"},
      {R"({"url":"http://a/","selectors":"//a"})", "selectors"},
      {R"({"url":"http://a/","selectors":[1]})", "selectors"},
      {R"({"url":"http://a/","selectors":[{"name":"a"}]})", "xpath"},
      {R"({"url":"http://a/","selectors":[{"name":"a","xpath":"//a","x":1}]})", "x: unknown"},
      {R"({"url":"http://a/","selectors":{"a":"//["}})", "selectors: selector \"a\""},
      {R"j({"url":"http://a/","selectors":{"a":"nonsense()"}})j", "selectors: selector \"a\""},
      {R"({"url":"http://a/","selectors":[{"name":"a","xpath":"//a"},{"name":"a","xpath":"//b"}]})",
       "selectors: the name \"a\""},
      {R"({"url":"http://a/"} x)", "args"},
      {std::string(10'000, '['), "args: nested deeper"},
  };
  for (const auto& [args, reason] : table) {
    const auto r = one_run("scrape", args).start(c.kinds).result();
    BOOST_TEST((r.kind == verdict::discarded), args);
    BOOST_TEST(r.error.starts_with(reason), args << " gave " << r.error);
  }
  for (const auto* args :
       {R"({"crawl":17,"url":"http://a/","depth":0})",
        R"({"crawl":"x","url":"http://a/","depth":0})",
        R"({"crawl":"017","url":"http://a/","depth":0})", R"({"crawl":"17","url":"http://a/"})"})
    BOOST_TEST((one_run("scrape.page", args).start(c.kinds).result().kind == verdict::discarded),
               args);
  one_run orphan("scrape.page", R"({"crawl":"99","url":"http://a/","depth":0})");
  BOOST_TEST((orphan.start(c.kinds).result().kind == verdict::discarded));
}
