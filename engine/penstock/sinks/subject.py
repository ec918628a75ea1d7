"""Where an event goes: the pattern of the settings, filled in.

What a tenant is called is put so that it can be one part of a subject of NATS and of a Kafka topic:
any other character than letters, digits, ``-`` and ``_`` becomes ``_``; no tenant is ``none``.
"""

from __future__ import annotations

import re
from functools import lru_cache

_OTHER = re.compile(r"[^A-Za-z0-9_-]")


@lru_cache(maxsize=4096)
def subject_of(pattern: str, tenant: str, kind: str) -> str:
    """Raises ``ValueError`` and ``KeyError`` for a pattern that names anything else."""
    return pattern.format(tenant=_OTHER.sub("_", tenant) or "none", type=kind)
