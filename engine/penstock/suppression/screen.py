"""What the engine asks of the list, at intake and at delivery; it never stands in the way of mail.

A list that cannot be read stops nothing: mail goes on as if it were empty, the log says so, a
metric counts every question that got no answer, and the list is opened again every few seconds. For
most mail the answer is that nothing is known of the address, so the class, which takes the policies
to find out, is only looked at where something is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import lmdb
import structlog

from penstock.events.records import Suppressed
from penstock.mail.envelope import CLASSES
from penstock.suppression.decide import SuppressionRules
from penstock.suppression.entry import Entry
from penstock.suppression.store import SuppressionError, Suppressions

log = structlog.get_logger("penstock.suppression")
RETRY_S = 5.0
Stage = Literal["intake", "delivery"]


class Mail(NamedTuple):
    """Whose mail it is; ``class_`` as the message says it, ``""`` where it does not. ``tags`` are
    only looked at for the mailing list."""

    tenant: str
    class_: str = ""
    tags: Mapping[str, str] = {}
    campaign: str = ""
    sender: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Ports:
    """``now``: seconds since the epoch; ``class_of(tenant, class_)``: the class that mail is sent
    as; ``write``: ``Journal.write``; ``counted(stage, reason)``, ``unread()``: for the metrics."""

    class_of: Callable[[str, str], str]
    now: Callable[[], float] = time.time
    write: Callable[..., Any] = lambda make, **fields: None
    counted: Callable[[str, str], None] = lambda stage, reason: None
    unread: Callable[[], None] = lambda: None


class Screen:
    """One process's. ``open_list`` is called at the start and after every trouble."""

    def __init__(
        self, open_list: Callable[[], Suppressions], ports: Ports, rules: SuppressionRules
    ) -> None:
        self._open_list, self._ports, self.rules = open_list, ports, rules
        self._list: Suppressions | None = None
        self._tried = 0.0
        self._told = False
        self.look()

    @property
    def usable(self) -> Suppressions | None:
        """What is asked; ``None`` while it cannot be."""
        return self._list

    def look(self) -> None:
        """Called every second: a list that could not be used is tried again."""
        if self._list is not None:
            return
        now = self._ports.now()
        if abs(now - self._tried) < RETRY_S:
            return
        self._tried = now
        try:
            self._list = self._open_list()
        except SuppressionError as error:
            self._trouble(error)
            return
        if self._told:
            self._told = False
            log.warning("the suppression list is read again")

    def entries(self, address: str, tenant: str) -> Sequence[Entry]:
        """What is known of the address, for everybody and for ``tenant``."""
        if self._list is None:
            self._ports.unread()
            return ()
        try:
            return self._list.entries(address, tenant)
        except lmdb.Error as error:
            self._trouble(error)
        except ValueError as error:  # one entry is damaged, the others are not
            log.error("an entry of the suppression list cannot be read", error=str(error))
        self._ports.unread()
        return ()

    def find(self, address: str, mail: Mail) -> Entry | None:
        """The entry that keeps this mail from ``address``, or ``None``."""
        entries = self.entries(address, mail.tenant)
        if not entries:
            return None
        class_ = self._ports.class_of(mail.tenant, mail.class_)
        return self._covering(entries, class_, self.rules.mailing_list(mail.tags))

    def verdicts(self, addresses: Sequence[str], mail: Mail) -> list[Entry | None]:
        """The same for each of several."""
        return [self.find(address, mail) for address in addresses]

    def early(
        self, address: str, mail: Mail, permitted: tuple[str, ...]
    ) -> tuple[Entry | None, bool]:
        """The entry that keeps any mail of this tenant from ``address``, as whichever of the
        ``permitted`` classes (empty: all) it may yet turn out to be; and, where there is none,
        whether that is settled, so that nobody need ask again when the message is there."""
        entries = self.entries(address, mail.tenant)
        if not entries:
            return None, True
        usual = self._ports.class_of(mail.tenant, mail.class_)
        first: Entry | None = None
        for class_ in dict.fromkeys((usual, *(permitted or CLASSES))):
            found = self._covering(entries, class_, "")
            if found is None:
                return None, False
            first = first or found
        return first, True

    def tell(self, stage: Stage, address: str, entry: Entry, mail: Mail) -> None:
        """One recipient gets nothing, since ``entry`` says so."""
        self._ports.counted(stage, entry.reason)
        self._ports.write(
            Suppressed,
            recipient=address,
            stage=stage,
            reason=entry.reason,
            message=mail.message,
            sender=mail.sender,
            cause=entry.cause,
            tenant=mail.tenant,
            campaign=mail.campaign,
            class_=self._ports.class_of(mail.tenant, mail.class_),
            tags=dict(mail.tags),
        )

    def _covering(self, entries: Sequence[Entry], class_: str, mailing_list: str) -> Entry | None:
        now = self._ports.now()
        for entry in entries:
            if entry.covers(class_, mailing_list, now):
                return entry
        return None

    def _trouble(self, error: Exception) -> None:
        self._list = None
        if not self._told:
            self._told = True
            log.error(
                "the suppression list cannot be read: mail goes to suppressed addresses too",
                error=str(error),
            )


def date_of(seconds: float) -> str:
    """The day, for a reply or a person."""
    return time.strftime("%Y-%m-%d", time.gmtime(seconds)) if seconds else "an unknown day"


def described(entry: Entry) -> str:
    """``complaint since 2026-01-31``, with the day it ends where it does."""
    until = f" until {date_of(entry.until)}" if entry.until else ""
    return f"{entry.reason} since {date_of(entry.since)}{until}"
