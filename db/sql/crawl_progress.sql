-- How far these crawls are.
-- reads
select job_id, pages, fetched, failed, bytes, closed from troupe.crawl where job_id = any ($1)
