"""One message called back by its id, before it is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import structlog

from penstock.control import ControlError
from penstock.daemon.told import operator_did
from penstock.daemon.workers import Worker, ask_those_there
from penstock.events.journal import Recorder
from penstock.mail.envelope import id_number

log = structlog.get_logger("penstock.admin")
_WHO_CHARS_MAX = 200
_TIMEOUT_S = 30.0


class Owner(Protocol):
    """What is needed of the supervisor."""

    @property
    def events(self) -> Recorder: ...
    @property
    def children(self) -> Sequence[Worker]: ...


class Cancel:
    """The ``message.cancel`` method."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    async def cancel(self, params: Mapping[str, Any]) -> dict[str, list[str]]:
        """``{"cancelled": [address, ...], "under_way": [...]}`` for the message ``id``, if it is of
        ``tenant``; refuses with ``not-found`` where nothing of it is queued."""
        text = str(params.get("id", ""))
        try:
            ref = id_number(text)
        except ValueError as error:
            raise ControlError("bad-id", str(error)) from None
        tenant, who = str(params.get("tenant", "")), str(params.get("who", ""))[:_WHO_CHARS_MAX]
        asked = {"ref": ref, "tenant": tenant, "who": who or "an operator"}
        answers, away = await ask_those_there(
            self._owner.children, "message.cancel", asked, _TIMEOUT_S
        )
        for answer in answers.values():
            if answer is not None:
                selector = {"message": text.lower(), **({"tenant": tenant} if tenant else {})}
                operator_did(self._owner.events, "message.cancel", selector, who=who)
                log.info("message cancelled", id=text, who=who, recipients=answer["cancelled"][:10])
                done: dict[str, list[str]] = answer
                return done
        if away:
            numbers = ", ".join(map(str, away))
            raise ControlError("unavailable", f"not found; worker {numbers} could not be asked")
        raise ControlError("not-found", f"nothing of {text} is queued")
