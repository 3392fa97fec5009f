-- What SQL and other nodes change is told on this channel.
listen troupe
