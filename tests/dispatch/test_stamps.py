"""Bulk mail that names a way out goes one recipient a transaction; other mail goes as ever."""

from __future__ import annotations

import email

from penstock.mail.dkim_ring import KeyRing
from penstock.mail.envelope import Recipient
from penstock.mail.verp import Key, TokenKeys, find_token, read_token
from penstock.relay.build import Builder
from penstock.relay.stamp import Stamp
from penstock.sim.relay import NEVER, OK, Peer, RelayWorld, loaded

KEYS = TokenKeys([Key("0", b"k" * 32)])
TENANTS = """\
[tenant.shop]
class = "bulk"
[tenant.shop.feedback]
bounce_domain = "b.shop.example"
unsubscribe_url = "https://u.shop.example/u"
[tenant.bank]
class = "transactional"
[tenant.bank.feedback]
bounce_domain = "b.bank.example"
unsubscribe_url = "https://u.bank.example/u"
"""
PEOPLE = [f"p{n}@a.example" for n in range(7)]


def stamping() -> RelayWorld:
    policies = loaded("", tenants=TENANTS)
    world = RelayWorld(policies)
    stamp = Stamp(KEYS, policies, world.now)
    world.dispatcher._build = Builder(KeyRing(), world.now, stamp).build
    world.dispatcher.placing.stamps = True
    return world


def ref_in(text: str, world: RelayWorld) -> int:
    found = find_token(text)
    assert found is not None
    return read_token(KEYS, found.token, world.now(), 1).ref


def test_each_recipient_of_bulk_mail_has_links_of_its_own(play) -> None:
    async def scenario() -> None:
        world = stamping()
        await world.send(*PEOPLE, tenant="shop")
        await world.pass_time(5)
        assert sorted(world.recipients()) == sorted(PEOPLE)
        assert [len(tx.recipients) for _, _, tx in world.seen] == [1] * len(PEOPLE)
        links = {
            email.message_from_bytes(b"".join(tx.body))["List-Unsubscribe"]
            for _, _, tx in world.seen
        }
        assert len(links) == len(PEOPLE)
        senders = {ref_in(tx.sender, world): tx.recipients[0] for _, _, tx in world.seen}
        assert [senders[ref] for ref in sorted(senders)] == PEOPLE
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_other_classes_share_transactions(play) -> None:
    async def scenario() -> None:
        world = stamping()
        await world.send(*PEOPLE, tenant="bank")
        await world.pass_time(5)
        assert [len(tx.recipients) for _, _, tx in world.seen] == [len(PEOPLE)]
        await world.close()

    play(scenario)


def test_after_a_reload_that_takes_it_away_they_share_again(play) -> None:
    async def scenario() -> None:
        world = stamping()
        await world.send("p0@a.example", "p1@a.example", tenant="shop")
        await world.pass_time(5)
        world.dispatcher.reload(loaded("", tenants='[tenant.shop]\nclass = "bulk"\n'), ())
        await world.pass_time(1)
        await world.send(*PEOPLE, tenant="shop")
        await world.pass_time(5)
        assert [len(tx.recipients) for _, _, tx in world.seen] == [1, 1, len(PEOPLE)]
        await world.close()

    play(scenario)


def test_reports_of_our_own_go_to_who_sent_it(play) -> None:
    async def scenario() -> None:
        world = stamping()
        world.answer = lambda tx, one: NEVER if one == "gone@a.example" else OK
        await world.send("gone@a.example", tenant="bank")
        await world.pass_time(5)
        report = world.seen[-1][2]
        assert report.sender == ""
        assert report.recipients == ("app@example.org",)
        await world.close()

    play(scenario)


def test_success_is_told_by_us_where_the_peers_report_would_come_to_us(play, monkeypatch) -> None:
    monkeypatch.setattr(Peer, "passes_dsn", True)

    async def scenario() -> None:
        world = stamping()
        await world.send(Recipient("ann@a.example", ("SUCCESS",)), tenant="bank")
        await world.pass_time(5)
        first, report = (tx for _, _, tx in world.seen)
        assert "NOTIFY" not in "".join(first.rcpt_options)
        assert report.recipients == ("app@example.org",)
        assert b"Action: relayed" in b"".join(report.body)
        await world.close()

    play(scenario)
