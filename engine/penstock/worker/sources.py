"""The sources of one worker: how a connection leaves by each, and which can be used now."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from penstock.policy.egress import Source
from penstock.policy.limits import Limits
from penstock.policy.policies import Policies
from penstock.relay.options import ConnectOptions, Proxy
from penstock.relay.placing import Placing
from penstock.relay.presence import Presence, SourceAddress
from penstock.worker import parts

log = structlog.get_logger("penstock.relay")


class Sources:
    """``bound``: connections leave by the addresses and proxies of their sources; in the sandbox
    they do not, since nothing may leave the machine. ``read`` gives the bytes of a file."""

    def __init__(
        self,
        hostname: str,
        policies: Policies,
        placing: Placing,
        read: Callable[[str], bytes],
        *,
        bound: bool,
    ) -> None:
        self._hostname, self._placing, self._read, self._bound = hostname, placing, read, bound
        self._sources = policies.sources
        self._presence = Presence({})
        self._proxies: dict[str, Proxy] = {}
        self._unusable: dict[str, str] = {}
        self.reload(policies)

    def reload(self, policies: Policies) -> None:
        self._sources = policies.sources
        self._proxies, self._unusable = {}, {}
        if self._bound:
            for name, source in self._sources.items():
                self._read_proxy(name, source)
            self._presence.reload(
                {
                    name: SourceAddress(one.ipv4, one.ipv6, one.proxy is not None)
                    for name, one in self._sources.items()
                }
            )
        self.look()

    def look(self) -> None:
        """Whether each can be used; called every second."""
        for change in self._presence.look():
            log.warning("source", name=change.source, up=change.up, reason=change.reason)
        absent = {**self._presence.absent, **self._unusable}
        if self._placing.book.absent(absent):
            self._placing.sources_changed()

    def up(self) -> dict[str, bool]:
        """Each source, and whether it can be used for any provider."""
        book = self._placing.book
        return {name: not book.why_out(name, "") for name in self._sources}

    def options(self, name: str, limits: Limits) -> ConnectOptions:
        """How a connection by this source is to be made and used."""
        source = self._sources.get(name)
        ehlo = source.ehlo if source is not None and source.ehlo else self._hostname
        by = source if self._bound else None
        return parts.connect_options(
            ehlo,
            limits,
            by.ipv4 if by is not None else "",
            by.ipv6 if by is not None else "",
            self._proxies.get(name),
        )

    def _read_proxy(self, name: str, source: Source) -> None:
        if source.proxy is None:
            return
        password = ""
        try:
            if source.proxy_password_file:
                password = self._read(source.proxy_password_file).decode().strip()
            at = source.proxy
            self._proxies[name] = Proxy(at.kind, at.host, at.port, source.proxy_user, password)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            self._unusable[name] = f"its proxy's password cannot be used: {reason}"
            log.error("source", name=name, up=False, reason=self._unusable[name])
