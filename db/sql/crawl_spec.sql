-- What the crawl was opened with.
-- reads
select url, max_depth, max_pages, selectors from troupe.crawl where job_id = $1
