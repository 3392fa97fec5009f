-- Items of a crawl after a page id, ascending.
-- reads
-- by rows
select page, url, status, title, headings, links, bytes, fetched_at, fields, error
  from troupe.item
 where crawl = $1 and page > $2
 order by page
 limit $3
