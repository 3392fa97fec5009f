-- Items of a crawl after a page id, ascending.
-- reads
-- by rows
select page, url, status, title, headings, links, bytes, fetched_at, fields, error
  from troupe.list_items($1, $2, $3)
