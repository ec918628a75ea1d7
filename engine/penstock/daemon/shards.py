"""Which worker owns which shard directory.

Worker n owns shard n. Shards beyond the number of workers are left from a run with more of them:
each is adopted by one worker, which drains it and puts nothing new in.
"""

from __future__ import annotations

import os
import re

_NAME = re.compile(r"shard-(\d{2,5})")


def assign_shards(spool: str, workers: int) -> list[list[int]]:
    """For each worker its shard numbers, its own first."""
    owned = [[number] for number in range(workers)]
    for name in sorted(os.listdir(spool)):
        found = _NAME.fullmatch(name)
        if found and int(found[1]) >= workers:
            owned[int(found[1]) % workers].append(int(found[1]))
    return owned
