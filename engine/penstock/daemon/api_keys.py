"""The API keys' one writer: makes them, shows them, revokes them."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import ValidationError

from penstock.api.key_orders import KeyOrder
from penstock.api.keys import FILE, KEYS_MAX, BadKeyFile, Key, file_of, load_keys, new_secret
from penstock.api.problem import field_errors
from penstock.control import ControlError
from penstock.daemon.told import operator_did
from penstock.events.journal import Recorder
from penstock.whole_file import write_whole


class ApiKeys:
    """``params`` of each method may name ``tenant``: whoever asks for one tenant's keys sees and
    does nothing about others'. Each change is on the disk, and known to the workers by
    ``changed``, when the answer is given."""

    def __init__(
        self,
        spool: str,
        events: Recorder,
        changed: Callable[[], Awaitable[Any]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._path = os.path.join(spool, FILE)
        self._events, self._changed, self._now = events, changed, now

    async def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """The only answer that holds the key itself, as ``secret``."""
        given = {name: value for name, value in params.items() if name != "who"}
        try:
            order = KeyOrder.model_validate(given)
        except ValidationError as error:
            wrong = field_errors(error.errors(include_url=False))
            text = "; ".join(f"{one.field or 'the key'}: {one.message}" for one in wrong)
            raise ControlError("invalid", text) from None
        keys, now = self._load(), self._now()
        if len(keys) >= KEYS_MAX:
            raise ControlError(
                "conflict", f"there are {KEYS_MAX} keys; revoke some that nobody uses"
            )
        expires = order.expires_at.timestamp() if order.expires_at else 0.0
        if order.expires_at is not None and expires <= now:
            raise ControlError("invalid", "expires_at: must be in the future")
        number, secret, digest = new_secret()
        key = Key(
            id=number,
            digest=digest,
            created=now,
            scopes=frozenset(order.scopes),
            tenant=order.tenant,
            name=order.name,
            networks=order.parsed_networks(),
            expires=expires,
            limits=order.limits(),
            request_bytes_max=order.request_bytes_max or 0,
        )
        await self._store({**keys, number: key})
        self._told("key.create", key, params)
        return {**key.shown(), "secret": secret}

    async def list(self, params: dict[str, Any]) -> dict[str, Any]:
        tenant = str(params.get("tenant") or "")
        keys = sorted(self._load().values(), key=lambda key: (key.created, key.id))
        return {"keys": [key.shown() for key in keys if tenant in ("", key.tenant)]}

    async def revoke(self, params: dict[str, Any]) -> dict[str, Any]:
        """Whoever has it is refused from now on."""
        keys, number = self._load(), str(params.get("id", ""))
        key = keys.get(number)
        if key is None or params.get("tenant") not in (None, "", key.tenant):
            raise ControlError("not-found", f"there is no key {number[:40]!r}")
        await self._store({name: one for name, one in keys.items() if name != number})
        self._told("key.revoke", key, params)
        return key.shown()

    def _load(self) -> dict[str, Key]:
        try:
            return load_keys(self._path)
        except BadKeyFile as error:
            raise ControlError("failed", str(error)) from None

    async def _store(self, keys: dict[str, Key]) -> None:
        write_whole(self._path, file_of(keys), mode=0o600)
        await self._changed()  # one that does not hear it looks for itself soon

    def _told(self, action: str, key: Key, params: dict[str, Any]) -> None:
        selector = {"tenant": key.tenant} if key.tenant else {}
        who = str(params.get("who", ""))
        operator_did(self._events, action, selector, who=who, operation=key.id)
