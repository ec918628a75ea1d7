"""One worker process: a shard (or several), its schedule and its connections."""
