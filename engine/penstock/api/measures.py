"""What is counted of requests. Labels are bounded: routes are templates, statuses are classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.types import Scope

from penstock.events.metrics import Registry

_CLASSES = ("", "1xx", "2xx", "3xx", "4xx", "5xx")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "other")
NO_ROUTE = "none"


class Measures:
    """``now`` is a clock that does not jump."""

    def __init__(self, registry: Registry, now: Callable[[], float]) -> None:
        self.now = now
        self._read_receiving: list[Callable[[], int]] = []
        self._read_connections: list[Callable[[], int]] = []
        self._requests = registry.counter("penstock_api_requests_total")
        self._seconds = registry.histogram("penstock_api_request_seconds")
        self._bytes = registry.counter("penstock_api_bytes_total")
        self._keys = registry.counter("penstock_api_key_requests_total")
        self._refused = registry.counter("penstock_api_refused_total")
        self._receiving = registry.gauge("penstock_api_receiving_bytes")
        self._connections = registry.gauge("penstock_api_connections")
        registry.on_snapshot(self._collect)

    def receiving(self, read: Callable[[], int]) -> None:
        """``read`` gives the bytes of bodies that one listener holds."""
        self._read_receiving.append(read)

    def connections(self, read: Callable[[], int]) -> None:
        """``read`` gives the connections of one listener."""
        self._read_connections.append(read)

    def _collect(self) -> None:
        self._receiving.set(sum(read() for read in self._read_receiving))
        self._connections.set(sum(read() for read in self._read_connections))

    def answered(
        self, scope: Scope, status: int, began: float, taken: int, given: int, key: str
    ) -> None:
        """One request is over; ``status`` 0: the client went before it had an answer."""
        route: Any = scope.get("route")
        path = getattr(route, "path", "") or NO_ROUTE
        method = scope["method"]
        if method not in METHODS:
            method = "other"
        self._requests.inc((path, method, _CLASSES[status // 100] or "gone"))
        self._seconds.observe(self.now() - began, (path,))
        if taken:
            self._bytes.inc(("in",), taken)
        self._bytes.inc(("out",), given)
        if key:
            self._keys.inc((key,))

    def refused(self, reason: str) -> None:
        """Somebody was not let in."""
        self._refused.inc((reason,))
