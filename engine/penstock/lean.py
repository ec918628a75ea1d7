"""Libraries without what they take along for a terminal, for processes that run for long.

structlog and httpx import rich, and more behind it, wherever that is installed: to draw tracebacks
and a command line, of which a daemon has neither.
"""

import importlib
import sys

_DRAWS = "rich"


def load(*names: str) -> None:
    """Import these first of all, as if rich were not installed."""
    before = sys.modules.get(_DRAWS)
    sys.modules[_DRAWS] = None  # type: ignore[assignment]
    try:
        for name in names:
            importlib.import_module(name)
    finally:
        del sys.modules[_DRAWS]
        if before is not None:
            sys.modules[_DRAWS] = before
