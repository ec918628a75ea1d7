"""The edges through which mail goes out: resolver, site, connections, dispatch."""
