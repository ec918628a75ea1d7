"""What TLS a domain demands, asked of a worker: they all would say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.control import ControlError
from penstock.daemon.workers import Worker

_DOMAIN_CHARS_MAX = 253
_TIMEOUT_S = 30.0


class Tls:
    """``workers`` as they are at the moment of asking."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = workers

    async def show(self, params: Mapping[str, Any]) -> Any:
        """The answer of the first worker that is there."""
        domain = str(params.get("domain", "")).strip().rpartition("@")[2]
        if not domain or len(domain) > _DOMAIN_CHARS_MAX:
            raise ControlError("bad-target", "say which domain")
        for worker in self._workers:
            try:
                return await worker.call("tls.show", {"domain": domain}, _TIMEOUT_S)
            except ConnectionError:
                continue
            except ControlError as error:
                if error.code != "starting":
                    raise
        raise ControlError("unavailable", "no worker is there to be asked")
