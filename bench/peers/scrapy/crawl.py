# The crawl of bench/run crawl as a tuned Scrapy spider: same start page, same site, same columns.
# Usage: python3 crawl.py URL OUT.csv CONCURRENCY
import sys
from datetime import datetime, timezone
from urllib.parse import urlsplit

import scrapy
from scrapy.crawler import CrawlerProcess

start, out, concurrency = sys.argv[1], sys.argv[2], int(sys.argv[3])


class Pages(scrapy.Spider):
    name = "pages"
    start_urls = [start]
    allowed_domains = [urlsplit(start).hostname]

    def parse(self, response):
        links = response.xpath("//a/@href").getall()
        yield {
            "url": response.url,
            "status": response.status,
            "title": (response.xpath("//title/text()").get() or "").strip(),
            "headings": len(response.xpath("//h1|//h2|//h3|//h4|//h5|//h6")),
            "links": len(links),
            "bytes": len(response.body),
            "fetched_at": datetime.now(timezone.utc).isoformat(),
        }
        for link in links:
            url = response.urljoin(link)
            if url.startswith("http"):
                yield scrapy.Request(url)


process = CrawlerProcess(
    {
        "CONCURRENT_ITEMS": 1,
        "CONCURRENT_REQUESTS": concurrency,
        "CONCURRENT_REQUESTS_PER_DOMAIN": concurrency,
        "LOG_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "COOKIES_ENABLED": False,
        "ROBOTSTXT_OBEY": False,
        "RETRY_ENABLED": False,
        "AJAXCRAWL_ENABLED": False,
        "FEEDS": {out: {"format": "csv"}},
    }
)
process.crawl(Pages)
process.start()
