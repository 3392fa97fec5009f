-- The next rows of the transaction's stream.
fetch forward 100 from troupe_stream
