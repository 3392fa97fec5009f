-- Opens a transaction that ends as if it had run alone, or with 40001.
-- brief
begin isolation level serializable
