-- Makes the crawl and its first page, or finds it made.
select troupe.open_crawl($1, $2, $3, $4, $5)
