"""The wire, both roles: grammar, replies, the server's and the client's dialogue, without I/O."""
