"""What becomes of outcomes when the disk refuses to write them down, or to give mail back."""

from __future__ import annotations

import errno

import pytest

from penstock.mail.envelope import Recipient
from penstock.policy.rate import Rate
from penstock.relay.dispatch_ports import DispatchConfig
from penstock.relay.stage import StageConfig
from penstock.sim.relay import LATER, NEVER, OK, REFUSED, RelayWorld, loaded
from penstock_queue import CommitFailed, QueueConfig, SimDisk

UNCACHED = QueueConfig(cache_bytes=0)


def test_a_report_that_could_not_be_stored_is_made_again(play) -> None:
    """Its commit failed: the delivery must not be settled without it."""

    async def scenario() -> None:
        disk = SimDisk()
        world = RelayWorld(disk=disk)
        world.answer = lambda tx, one: NEVER if one == "gone@a.example" else OK
        await world.send("gone@a.example")
        disk.failing["write"] = errno.EIO
        await world.pass_time(30)
        assert world.recipients() == ["gone@a.example"]
        assert world.entries == 1
        disk.failing.clear()
        await world.pass_time(120)
        assert world.recipients() == ["gone@a.example", "gone@a.example", "app@example.org"]
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_nobody_sends_what_waits_for_its_report(play) -> None:
    async def scenario() -> None:
        disk = SimDisk()
        world = RelayWorld(disk=disk)
        world.answer = lambda tx, one: NEVER if one == "gone@a.example" else OK
        ref = await world.send("gone@a.example")
        commit = world.committer._run
        world.committer._run = lambda: None
        await world.pass_time(1)
        assert not world.dispatcher.live(ref)
        world.committer._run = commit
        commit()
        await world.pass_time(5)
        assert not world.queue.exists(ref)
        assert world.recipients() == ["gone@a.example", "app@example.org"]
        await world.close()

    play(scenario)


def test_what_was_delivered_is_not_sent_again_for_want_of_a_report(play) -> None:
    async def scenario() -> None:
        disk = SimDisk()
        world = RelayWorld(disk=disk)
        world.latency_s = 5.0
        await world.send(Recipient("ann@a.example", ("SUCCESS",)))
        disk.failing["write"] = errno.ENOSPC
        with pytest.raises(CommitFailed):
            await world.send("bob@b.example")
        await world.pass_time(300)
        assert world.recipients() == ["ann@a.example"]
        disk.failing.clear()
        world.committer.nudge()
        await world.pass_time(60)
        assert world.recipients() == ["ann@a.example"]
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_mail_that_cannot_be_read_now_comes_again(play) -> None:
    """A read error while a failure is written down must not leave the mail behind."""

    async def scenario() -> None:
        disk = SimDisk()
        world = RelayWorld(disk=disk, queue=UNCACHED)
        world.refuse_connect = REFUSED
        await world.send("ann@a.example")
        disk.failing["read"] = errno.EIO
        await world.pass_time(30)
        disk.failing.clear()
        world.refuse_connect = None
        await world.pass_time(1200)
        assert world.recipients() == ["ann@a.example"]
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_mail_that_cannot_be_read_at_its_expiry_is_given_up_later(play) -> None:
    async def scenario() -> None:
        disk = SimDisk()
        world = RelayWorld(loaded('[limits]\nretry_initial_s = "1h"\n'), disk=disk, queue=UNCACHED)
        world.answer = lambda tx, one: LATER if one == "ann@a.example" else OK
        await world.send("ann@a.example", expires_s=100.0)
        await world.pass_time(50)
        disk.failing["read"] = errno.EIO
        await world.pass_time(100)
        assert world.entries == 1
        disk.failing.clear()
        await world.pass_time(100)
        assert world.entries == 0
        assert world.recipients()[-1] == "app@example.org"
        await world.close()

    play(scenario)


def test_what_is_staged_stays_within_its_bound(play) -> None:
    async def scenario() -> None:
        config = DispatchConfig(stage=StageConfig(bytes_max=20_000))
        world = RelayWorld(loaded("[limits]\nconnections = 1\n"), config=config, queue=UNCACHED)
        world.latency_s = 1.0
        body = b"Subject: x\r\n\r\n" + b"x" * 9_000
        for number in range(12):
            await world.send(f"p{number}@d{number % 3}.example", body=body)
        staged = 0
        for _ in range(300):
            await world.pass_time(0.1)
            staged = max(staged, world.dispatcher.stager.staged_bytes)
        assert staged <= 20_000 + len(body)
        assert len(world.recipients()) == 12
        await world.close()

    play(scenario)


class OneShot:
    """A connection that ends after one transaction, while the next is being read."""

    passes_dsn = False

    async def run(self, feed):
        tx = feed.next()
        while tx is None and await feed.wait():
            tx = feed.next()
        feed.done(tx, [OK] * len(tx.recipients))
        assert feed.next() is None


def test_a_site_without_a_connection_gives_up_what_it_has_staged(play) -> None:
    """It would wait for a connection, whose owner waits to read, which waits for its share."""

    async def scenario() -> None:
        config = DispatchConfig(connections_max=1, stage=StageConfig(bytes_max=5_000))
        policy = "[limits]\nidle_timeout_s = 60\n"
        world = RelayWorld(loaded(policy), config=config, queue=UNCACHED)
        connect, tries = world.connect, []

        async def moody(site):
            if site.name != "a.example" or world.loop.time() > began + 40:
                return await connect(site)
            tries.append(site)
            return OneShot() if len(tries) == 1 else REFUSED

        began = world.loop.time()
        world.dispatcher._connect_to = moody
        body = b"Subject: x\r\n\r\n" + b"x" * 9_000
        for number in range(4):
            await world.send(f"p{number}@a.example", body=body)
        for number in range(3):
            await world.send(f"p{number}@b.example", body=body)
        await world.pass_time(30)
        assert world.recipients() == [f"p{number}@b.example" for number in range(3)]
        await world.pass_time(3000)
        assert len(world.recipients()) == 6
        assert world.entries == 0
        await world.close()

    play(scenario)


def test_no_token_is_kept_while_mail_is_read(play) -> None:
    """A grant that is used seconds later puts more into a window than its rate permits."""

    async def scenario() -> None:
        world = RelayWorld(loaded('[limits]\nmessage_rate = "2/5s burst 3"\n'), queue=UNCACHED)
        site_tokens = 0
        for number in range(8):
            await world.send(f"p{number}@a.example")
        for _ in range(400):
            await world.pass_time(0.1)
            site_tokens = max([site_tokens, *(s.tokens for s in world.sites)])
        assert site_tokens == 0
        times = [at for at, _, _ in world.seen]
        rate = Rate(2, 5.0, 3)
        allowed = rate.count + rate.burst - 1
        spans = [b - a for a, b in zip(times, times[allowed:], strict=False)]
        assert min(spans) >= rate.period_s
        await world.close()

    play(scenario)


def test_a_domain_that_was_never_found_is_retried_by_the_policy(play) -> None:
    async def scenario() -> None:
        policy = '[limits]\nretry_initial_s = "1m"\nretry_jitter = 0.0\n'
        world = RelayWorld(loaded(policy))
        world.destinations["a.example"] = LATER
        ref = await world.send("ann@a.example")
        await world.pass_time(1)
        assert 58 <= world.spool.due(ref) - world.now() <= 60
        await world.close()

    play(scenario)
