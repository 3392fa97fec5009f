-- The next rows of the transaction's stream.
fetch forward 1000 from troupe_stream
