"""What the supervisor asks a worker of its way out: the queue, what waits, and for what."""

from __future__ import annotations

from typing import Any

from penstock.control import ControlError
from penstock.worker.outbound import Outbound


def answer(outbound: Outbound, method: str, params: Any) -> Any:
    """One admin method; raises :class:`ControlError` for what does not exist."""
    steering, explainer = outbound.steering, outbound.explainer
    match method:
        case "queue.list":
            return steering.listing(params["selector"], params["limit"])
        case "queue.show":
            return steering.show(params["ref"])
        case "queue.rules":
            return steering.rules(params["rules"], params["counted"])
        case "queue.rules_left":
            return steering.rules_left()
        case "queue.retry":
            return steering.retry(params["selector"])
        case "message.cancel":
            return steering.cancel(params["ref"], params["tenant"], params["who"])
        case "top":
            return {"rows": outbound.top()}
        case "bounces.unmatched":
            return outbound.reading.rows()
        case "tls.show":
            return outbound.show_tls(params["domain"])
        case "explain.message":
            return explainer.message(params["ref"])
        case "explain.queue":
            return explainer.queue(
                params["domain"], params["tenant"], params["campaign"], params["recipient"]
            )
    raise ControlError("unknown-method", f"no method {method!r}")
