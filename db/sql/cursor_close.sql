-- Ends the transaction's stream.
close troupe_stream
