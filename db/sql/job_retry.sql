-- Makes a final or waiting job available now; its queue. Raises TR404 and TR409.
select troupe.retry($1)
