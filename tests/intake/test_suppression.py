"""Recipients on the suppression list, from RCPT to the reply after the message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from penstock.events import records
from penstock.intake.auth import Account
from penstock.intake.control import Permit
from penstock.settings.fields import NO_PASSWORD
from penstock.suppression.decide import SuppressionRules
from penstock.suppression.entry import Entry
from penstock.suppression.screen import Ports, Screen

NOW = 1_800_000_000.0
SINCE = 1_790_000_000.0
LISTED = [
    Entry("dead@a.example", "", "", "bounce:bad-mailbox", "e1", SINCE),
    Entry("no@a.example", "shop", "bulk", "unsubscribe", "e2", SINCE, NOW + 86400),
    Entry("angry@a.example", "shop", "", "complaint", "e3", SINCE),
]
BOUNCED = "550 5.1.1 dead@a.example is suppressed: bounce:bad-mailbox since 2026-09-21"
SEE = "; see penstock suppression show"
NO = (
    "550 5.7.1 no@a.example is suppressed for shop (bulk): unsubscribe since 2026-09-21"
    " until 2027-01-16"
)
ANGRY = "550 5.7.1 angry@a.example is suppressed for shop: complaint since 2026-09-21"


class List:
    """What the store answers."""

    def __init__(self) -> None:
        self.asked = 0

    def entries(self, address: str, tenant: str) -> Sequence[Entry]:
        self.asked += 1
        return [
            one for one in LISTED if one.address == address.lower() and one.tenant in ("", tenant)
        ]


class Door:
    """A listener that asks the list; what it told is in ``told``."""

    def __init__(self, connect: Any, sink: Any) -> None:
        self.list, self.told, self.sink = List(), list[records.Suppressed](), sink
        ports = Ports(
            class_of=lambda tenant, class_: class_ or "triggered",
            now=lambda: NOW,
            write=lambda make, **fields: self.told.append(make(id="1", at="x", **fields)),
        )
        screen = Screen(lambda: self.list, ports, SuppressionRules())  # type: ignore[arg-type, return-value]
        self.line = connect(screen=screen)

    async def greet(self, **account: Any) -> Door:
        await self.line.greet()
        if account:
            self.line.session.peer.logged_in(Account("ann", str(NO_PASSWORD.value), **account))
        return self

    async def send(self, *recipients: str, head: str = "") -> list[str]:
        """What is said to RCPT, and to the message if there is one."""
        said = await self.line.ask("MAIL FROM:<app@shop.example>")
        for one in recipients:
            said += await self.line.ask(f"RCPT TO:<{one}>")
        if any(one.startswith("250 2.1.5") for one in said):
            await self.line.ask("DATA")
            said += await self.line.ask(f"{head}Subject: x\n\nhello\n.")
        else:
            await self.line.ask("RSET")
        return [one for one in said[1:] if one != "250 2.1.5 Ok"]

    @property
    def about(self) -> list[tuple[str, str, str, bool]]:
        return [(one.recipient, one.reason, one.cause, bool(one.message)) for one in self.told]


@pytest.fixture
async def door(connect: Any, sink: Any) -> Door:
    return Door(connect, sink)


async def test_an_account_is_told_at_rcpt(door: Door) -> None:
    await door.greet(tenant="shop", permit=Permit(classes=("bulk",)), class_="bulk")
    said = await door.send("ok@b.example", "Dead@a.example", "angry@a.example", "no@a.example")
    assert said[:3] == [
        BOUNCED.replace("dead@", "Dead@") + f"{SEE} Dead@a.example",
        f"{ANGRY}{SEE} angry@a.example",
        f"{NO}{SEE} no@a.example",
    ]
    assert said[3].startswith("250 2.6.0 Message queued as ")
    assert door.about == [
        ("Dead@a.example", "bounce:bad-mailbox", "e1", False),
        ("angry@a.example", "complaint", "e3", False),
        ("no@a.example", "unsubscribe", "e2", False),
    ]
    assert door.told[1].class_ == "bulk"
    assert door.told[1].tenant == "shop"
    (message,) = door.sink.messages
    assert [one.address for one in message[0].recipients] == ["ok@b.example"]
    assert door.list.asked == 4  # each once, and not again after the message


async def test_whose_class_the_header_may_still_change(door: Door) -> None:
    await door.greet(tenant="shop")
    assert await door.send("dead@a.example") == [f"{BOUNCED}{SEE} dead@a.example"]
    for class_, refused in (("triggered", False), ("bulk", True)):
        said = await door.send("no@a.example", head=f"X-Penstock-Class: {class_}\n")
        assert said[0].startswith("550 5.7.1 no@a.example" if refused else "250 2.6.0"), said
    assert len(door.sink.messages) == 1


async def test_without_an_account_after_the_message(door: Door) -> None:
    await door.greet()
    angry = await door.send("angry@a.example", head="X-Penstock-Tenant: shop\n")
    assert angry == [f"{ANGRY}{SEE} angry@a.example"]
    (other,) = await door.send("angry@a.example", head="X-Penstock-Tenant: other\n")
    assert other.startswith("250 2.6.0")
    assert [one.tenant for one in door.told] == ["shop"]


async def test_some_are_left_out_and_named(door: Door) -> None:
    await door.greet()
    head = "X-Penstock-Tenant: shop\nX-Penstock-Class: bulk\nX-Penstock-Campaign: spring\n"
    recipients = ("angry@a.example", "ok@b.example", "no@a.example", "also@b.example")
    (said,) = await door.send(*recipients, head=head)
    ((envelope, _),) = door.sink.messages
    assert said == (
        f"250 2.6.0 Message queued as {envelope.id}; 2 of 4 recipients are suppressed: "
        "angry@a.example (complaint), no@a.example (unsubscribe)"
    )
    assert [one.address for one in envelope.recipients] == ["ok@b.example", "also@b.example"]
    assert [(one.message, one.campaign, one.sender) for one in door.told] == [
        (envelope.id, "spring", "app@shop.example")
    ] * 2


async def test_all_are_left_out(door: Door) -> None:
    await door.greet()
    (said,) = await door.send("dead@a.example", "DEAD@a.example")
    assert said == (
        "550 5.7.1 All 2 recipients are suppressed: dead@a.example (bounce:bad-mailbox), "
        "DEAD@a.example (bounce:bad-mailbox)"
    )
    assert door.sink.messages == []
    assert len(door.told) == 2


async def test_many_are_not_all_named(door: Door) -> None:
    await door.greet()
    (said,) = await door.send("ok@b.example", *["dead@a.example"] * 500)
    assert len(said) < 510
    assert "; 500 of 501 recipients are suppressed: " in said
    assert said.endswith(" more")
    assert len(door.told) == 500


async def test_the_events_wait_for_the_commit(door: Door) -> None:
    """What is refused after all comes again, and is told then."""
    await door.greet()
    door.sink.late_error = OSError("disk")
    (said,) = await door.send("dead@a.example", "ok@b.example")
    assert said.startswith("451")
    assert door.told == []


async def test_they_are_no_mistakes_of_the_client(door: Door) -> None:
    """Else a campaign to a list with many dead addresses would lose its connection."""
    await door.greet(tenant="shop")
    said = await door.send(*["dead@a.example"] * 100, "ok@b.example")
    assert said[-1].startswith("250 2.6.0")
    assert len(said) == 101
    for _ in range(30):
        (one,) = await door.send("no@a.example", head="X-Penstock-Class: bulk\n")
        assert one.startswith("550 5.7.1")
    assert not door.line.transport.closed
