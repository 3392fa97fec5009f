-- The form of a page of rows; db/page_query puts its parts where the comments are.
select * from (/*query*/ select 1 /*end*/) as page where true /*conditions*/ order by 1 /*keys*/ limit 1 /*rows*/
