-- The form of a page of rows; db/page_query puts its parts where the comments are.
select * from (select 1 /*query*/) as page where true /*conditions*/ order by 1 /*keys*/ limit 1 /*rows*/
