"""How full everything is that the routes which see and steer keep bounded."""

from __future__ import annotations

from penstock.api.events_stream import streams
from penstock.api.suppression_files import UPLOADS
from penstock.api.threads import threads
from penstock.events.metrics import Registry


def measure(registry: Registry) -> None:
    """Once for each process."""
    following = registry.gauge("penstock_api_event_streams")
    lookups = registry.gauge("penstock_api_lookups")
    imports = registry.gauge("penstock_api_imports")

    def read() -> None:
        following.set(streams().open)
        lookups.set(threads().waiting)
        imports.set(UPLOADS.open)

    registry.on_snapshot(read)
