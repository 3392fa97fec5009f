-- No further pages; those that wait are cancelled.
select troupe.close_crawl($1)
