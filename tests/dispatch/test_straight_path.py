"""From commit to outcome: what a message goes through when all is well, and when it is not."""

from __future__ import annotations

import email
import itertools

from penstock.mail.envelope import Recipient
from penstock.sim.relay import AGAIN, LATER, NEVER, OK, RelayWorld, loaded


def test_a_message_is_delivered_once_and_leaves_the_queue(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        await world.send("ann@a.example")
        await world.pass_time(5)
        assert world.recipients() == ["ann@a.example"]
        assert world.entries == 0
        assert world.kinds() == ["delivered"]
        await world.close()

    play(scenario)


def test_recipients_of_one_site_share_a_transaction(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        people = [f"p{n}@a.example" for n in range(150)]
        await world.send(*people)
        await world.pass_time(5)
        assert [len(tx.recipients) for _, _, tx in world.seen] in ([100, 50], [50, 100])
        assert sorted(world.recipients()) == sorted(people)
        await world.close()

    play(scenario)


def test_each_recipient_has_an_outcome_of_its_own(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        fate = {"ok@a.example": OK, "grey@a.example": LATER, "gone@a.example": NEVER}
        world.answer = lambda tx, one: fate.get(one, OK)
        await world.send(*fate)
        await world.pass_time(5)
        rows = (await world.steering.listing({}, 10))["rows"]
        assert [(row["recipient"], row["state"], row["attempts"]) for row in rows] == [
            ("grey@a.example", "scheduled", 1)
        ]
        assert rows[0]["last_reply"] == "451 4.7.1 Greylisted"
        report = email.message_from_bytes(b"".join(world.seen[-1][2].body))
        assert world.seen[-1][2].sender == ""
        assert world.seen[-1][2].recipients == ("app@example.org",)
        assert report.get_content_type() == "multipart/report"
        assert "gone@a.example" in report.as_string()
        assert "grey@a.example" not in report.as_string()
        await world.close()

    play(scenario)


def test_a_deferred_message_is_retried_with_growing_delay_and_then_expires(play) -> None:
    async def scenario() -> None:
        policy = '[limits]\nretry_initial_s = "10m"\nretry_max_s = "4h"\nretry_jitter = 0.0\n'
        world = RelayWorld(loaded(policy))
        world.answer = lambda tx, one: OK if one == "app@example.org" else LATER
        await world.send("ann@a.example", expires_s=7200.0)
        await world.pass_time(3 * 3600)
        times = [at for at, _, tx in world.seen if tx.recipients == ("ann@a.example",)]
        gaps = [round((b - a) / 60) for a, b in itertools.pairwise(times)]
        assert gaps[:3] == [10, 20, 40]
        assert world.entries == 0
        report = email.message_from_bytes(b"".join(world.seen[-1][2].body))
        assert "time had run out" in report.as_string()
        await world.close()

    play(scenario)


def test_no_report_about_a_report(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        world.answer = lambda tx, one: NEVER
        await world.send("ann@a.example", sender="")
        await world.send("bob@a.example")
        await world.pass_time(10)
        assert world.entries == 0
        assert sorted(world.recipients()) == ["ann@a.example", "app@example.org", "bob@a.example"]
        await world.close()

    play(scenario)


def test_notify_never_is_honoured_and_success_is_reported(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        world.answer = lambda tx, one: NEVER if one.startswith("quiet") else OK
        await world.send(Recipient("quiet@a.example", ("NEVER",)))
        await world.send(Recipient("told@a.example", ("SUCCESS",)))
        await world.pass_time(10)
        reports = [tx for _, _, tx in world.seen if tx.sender == ""]
        assert len(reports) == 1
        assert b"Action: relayed" in b"".join(reports[0].body)
        await world.close()

    play(scenario)


def test_what_was_never_offered_goes_first_again_and_counts_no_attempt(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        first = [True]

        def answer(tx, one):  # type: ignore[no-untyped-def]
            if first[0]:
                first[0] = False
                return AGAIN
            return OK

        world.answer = answer
        await world.send("ann@a.example")
        await world.pass_time(5)
        assert world.recipients() == ["ann@a.example", "ann@a.example"]
        assert [one.attempt for one in world.attempts] == [1]
        await world.close()

    play(scenario)


def test_a_restart_finds_what_was_not_settled(play) -> None:
    async def scenario() -> None:
        world = RelayWorld()
        world.answer = lambda tx, one: LATER
        await world.send("ann@a.example")
        await world.pass_time(5)
        await world.close()
        again = RelayWorld(disk=world.disk)
        assert again.entries == 1
        await again.pass_time(2 * 3600)
        assert again.recipients() == ["ann@a.example"]
        assert [one.attempt for one in again.attempts] == [2]
        await again.close()

    play(scenario)


def test_a_queue_larger_than_memory_is_read_back_from_disk(play) -> None:
    async def scenario() -> None:
        from penstock_queue import QueueConfig

        world = RelayWorld(queue=QueueConfig(cache_bytes=2000))
        world.latency_s = 0.01
        bodies = {}
        for n in range(300):
            body = b"Subject: %d\r\n\r\n%b\r\n" % (n, b"x" * 500)
            bodies[f"p{n}@a.example"] = body
            await world.send(f"p{n}@a.example", body=body)
        await world.pass_time(60)
        assert world.entries == 0
        assert {tx.recipients[0]: b"".join(tx.body) for _, _, tx in world.seen} == bodies
        assert world.dispatcher.stats()["staged_bytes"] == 0
        await world.close()

    play(scenario)
