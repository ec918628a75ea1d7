"""The one clock of a session: looked at now and then, it says when patience is over.

A sweep compares counters with those of the sweep before; nothing is done per command. While a
command is read, only complete lines count as progress, so dripping bytes does not keep a session.
While a message is read, every byte does, but there is a least rate over a window. Where a listener
is crowded, patience is short, so that connections which are only held open make room.
"""

from __future__ import annotations

from penstock.intake import replies
from penstock.intake.config import ListenerConfig
from penstock.smtp.reply import Reply


class Watch:
    """All times are seconds on the axis of ``now``."""

    __slots__ = ("_config", "_left_at", "_mark", "_since", "_window")

    def __init__(self, config: ListenerConfig) -> None:
        self._config = config
        self._mark: object = None
        self._since = 0.0
        self._window: tuple[float, int] | None = None  # start, bytes received until then
        self._left_at: float | None = None

    def look(
        self,
        now: float,
        *,
        bytes_in: int,
        lines: int,
        busy: bool,
        body: bool,
        handshake: bool,
        open_transaction: bool,
        crowded: bool = False,
    ) -> Reply | None:
        """``busy``: the client waits for us, which is never held against it."""
        config = self._config
        mark = (body, bytes_in if body else lines)
        if mark != self._mark or busy:
            self._mark = mark
            self._since = now
        if busy or not body:
            self._window = None
        if busy:
            return None
        if body:
            limit = config.data_timeout_s
        elif handshake:
            limit = config.handshake_timeout_s
        else:
            limit = config.command_timeout_s if open_transaction else config.idle_timeout_s
        window = config.slow_window_s
        if crowded:
            limit, window = (
                min(limit, config.crowded_timeout_s),
                min(window, config.crowded_timeout_s),
            )
        if now - self._since >= limit:
            return replies.TIMED_OUT
        return replies.TOO_SLOW if body and self._slow(now, bytes_in, window) else None

    def _slow(self, now: float, bytes_in: int, window: float) -> bool:
        if self._window is None:
            self._window = (now, bytes_in)
            return False
        start, before = self._window
        if now - start < window:
            return False
        self._window = (now, bytes_in)
        return bytes_in - before < self._config.slow_bytes_per_s * (now - start)

    def lingered(self, now: float) -> bool:
        """The connection was closed, but its last reply does not leave."""
        if self._left_at is None:
            self._left_at = now
        return now - self._left_at >= self._config.linger_s
