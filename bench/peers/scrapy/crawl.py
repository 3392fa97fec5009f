# The crawl of bench/run crawl as a tuned Scrapy spider: same start page, same site, same columns. Links
# are made unique before Scrapy sees them: as usually written, with a Request per link, it takes twice
# the time. Prints one JSON object with Scrapy's own elapsed time.
# Usage: python3 crawl.py URL OUT.csv CONCURRENCY
import json
import sys
from datetime import datetime, timezone
from urllib.parse import urldefrag, urljoin, urlsplit

import scrapy
from scrapy.crawler import CrawlerProcess

start, out, concurrency = sys.argv[1], sys.argv[2], int(sys.argv[3])


class Pages(scrapy.Spider):
    name = "pages"
    start_urls = [start]
    site = urlsplit(start).netloc
    seen = {start}

    def parse(self, response):
        page = response.selector.root
        hrefs = page.xpath("//a/@href")
        yield {
            "url": response.url,
            "status": response.status,
            "title": (page.findtext(".//title") or "").strip(),
            "headings": int(page.xpath("count(//h1|//h2|//h3|//h4|//h5|//h6)")),
            "links": len(hrefs),
            "bytes": len(response.body),
            "fetched_at": datetime.now(timezone.utc).isoformat(),
        }
        for link in set(hrefs):
            url = urldefrag(urljoin(response.url, link)).url
            if url in self.seen or urlsplit(url).netloc != self.site:
                continue
            self.seen.add(url)
            yield scrapy.Request(url, dont_filter=True)


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
crawler = process.create_crawler(Pages)
process.crawl(crawler)
process.start()
print(json.dumps({"seconds": crawler.stats.get_value("elapsed_time_seconds")}))
