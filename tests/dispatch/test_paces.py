"""The pace that a worker is told, and what it tells of what came of its attempts."""

from __future__ import annotations

import asyncio
from typing import Any

from penstock.limits.governor import Governor
from penstock.limits.remote import GovernorLimiter, RemoteConfig
from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.relay.dispatch_ports import DispatchConfig
from penstock.relay.paces import rate_of
from penstock.sim.relay import LATER, NEVER, NOW, RelayWorld, destination, loaded
from penstock.smtp.reply import Reply

TOO_FAST = Outcome(Kind.DEFERRED, Phase.MAIL, Reply.of(451, "4.7.28 Unusual rate of mail"))
TOO_MANY = Outcome(Kind.DEFERRED, Phase.BANNER, Reply.of(421, "4.7.28 Too many connections"))


def world(mode: str = "on", **limits: Any) -> RelayWorld:
    text = "\n".join(f'{name} = "{value}"' for name, value in limits.items())
    files = {"providers/big": f'mx = [".big.example"]\n[limits]\nadaptive = "{mode}"\n{text}\n'}
    one = RelayWorld(loaded("[limits]\nconnections = 4\n", **files))
    for domain in ("a.example", "b.example", "c.example"):
        one.destinations[domain] = destination(domain, provider="big", expires_at=4e9)
    return one


def tell(one: RelayWorld, mode: str = "on", source: str = "default", **pace: Any) -> None:
    row = {"source": source, "provider": "big", "mode": mode, "pace": pace}
    one.dispatcher.paces.told([row])


async def fill(one: RelayWorld, count: int, *domains: str) -> None:
    for n in range(count):
        await one.send(f"u{n}@{domains[n % len(domains)]}")


def rows(one: RelayWorld) -> list[dict[str, Any]]:
    return one.dispatcher.paces.tallies.rows(one.loop.time())


def test_rates_are_counted_in_periods_that_lose_nothing() -> None:
    assert [str(rate_of(per_s)) for per_s in (50.0, 200 / 60, 1 / 30, 1 / 3600)] == [
        "3000/min",
        "200/min",
        "120/h",
        "24/day",
    ]


def test_the_pace_holds_over_all_sites_of_the_provider(play) -> None:
    async def scenario() -> None:
        one = world()
        tell(one, rate_per_s=1.0)
        await fill(one, 90, "a.example", "b.example", "c.example")
        await one.pass_time(60)
        assert 58 <= len(one.seen) <= 61
        assert rows(one)[0]["busy"]
        await one.close()

    play(scenario)


def test_sites_with_rates_of_their_own_share_the_pace(play) -> None:
    async def scenario() -> None:
        one = world(message_rate="50/s", connection_rate="100/min")
        tell(one, rate_per_s=1.0, connections=8)
        await fill(one, 90, "a.example", "b.example", "c.example")
        await one.pass_time(60)
        assert 58 <= len(one.seen) <= 61
        await one.close()

    play(scenario)


def test_mail_of_other_providers_and_of_none_is_not_held(play) -> None:
    async def scenario() -> None:
        one = world()
        tell(one, rate_per_s=0.01)
        await fill(one, 50, "free.example")
        await one.pass_time(3)
        assert one.entries == 0
        assert rows(one) == []  # nobody is told of what is no provider's
        await one.close()

    play(scenario)


def test_a_pace_that_rises_is_used_at_once_and_one_that_goes_holds_nobody(play) -> None:
    async def scenario() -> None:
        one = world()
        tell(one, rate_per_s=1 / 600)
        await fill(one, 40, "a.example", "b.example")
        await one.pass_time(5)
        assert len(one.seen) == 1
        tell(one, rate_per_s=5.0)
        await one.pass_time(2)
        assert 8 <= len(one.seen) <= 18
        tell(one, "off")
        await one.pass_time(2)
        assert one.entries == 0
        await one.close()

    play(scenario)


def test_nothing_goes_before_its_moment_and_no_connection_is_made(play) -> None:
    async def scenario() -> None:
        one = world()
        tell(one, not_before=NOW + 600)
        await fill(one, 10, "a.example", "b.example")
        await one.pass_time(599)
        assert one.connects == []
        await one.pass_time(5)
        assert one.entries == 0
        await one.close()

    play(scenario)


def test_a_pause_that_comes_while_mail_flows_stops_it_and_can_be_lifted(play) -> None:
    async def scenario() -> None:
        one = world()
        tell(one, rate_per_s=10.0)
        await fill(one, 200, "a.example")
        await one.pass_time(5)
        tell(one, not_before=NOW + 3600)
        await one.pass_time(1)
        gone = len(one.seen)
        await one.pass_time(60)
        assert len(one.seen) == gone
        tell(one, rate_per_s=100.0)
        await one.pass_time(10)
        assert one.entries == 0
        await one.close()

    play(scenario)


def test_what_was_granted_before_a_pause_is_for_others(play) -> None:
    """Seats of a tenant or a domain are among it: others would wait for them as long."""

    async def scenario() -> None:
        one = world(message_rate="1/min")
        await fill(one, 3, "a.example")
        await one.pass_time(5)
        [site] = one.dispatcher.placing.sites.values()
        tell(one, not_before=NOW + 3600)
        site.tokens, site.tokens_for = 1, site.claims
        assert site.waiting
        [feed] = site.feeds
        assert one.dispatcher.next(feed) is None
        assert site.tokens == 0
        await one.close()

    play(scenario)


def test_connections_are_capped_and_those_too_many_end(play) -> None:
    async def scenario() -> None:
        one = world()
        one.latency_s = 1.0
        tell(one, connections=4)
        await fill(one, 300, "a.example", "b.example")
        await one.pass_time(10)
        assert one.open == 4
        tell(one, connections=1)
        await one.pass_time(3)
        assert one.open == 1
        await one.pass_time(10)
        assert one.open == 1
        tell(one, connections=3)
        await one.pass_time(5)
        assert one.open == 3
        await one.close()

    play(scenario)


def test_observed_restricts_nothing_and_is_shown(play) -> None:
    async def scenario() -> None:
        one = world("observe")
        tell(one, "observe", rate_per_s=1 / 60, not_before=NOW + 3600, reason="blocked")
        ref = await one.send("ann@a.example", due=one.now() + 30)
        [told] = await one.explainer.message(ref) or []
        shown = [cap for cap in told["caps"] if cap["where"] == "blocked"]
        assert {cap["scope"] for cap in shown} == {"pace of big, only observed"}
        assert {cap["key"] for cap in shown} == {""}
        await one.pass_time(35)
        assert one.entries == 0
        await one.close()

    play(scenario)


def test_a_worker_begins_slowly_where_nothing_is_known(play) -> None:
    async def scenario() -> None:
        one = world(adaptive_start="2/s")
        await fill(one, 100, "a.example", "b.example")
        await one.pass_time(10)
        assert 18 <= len(one.seen) <= 22
        tell(one, rate_per_s=100.0)
        await one.pass_time(3)
        assert one.entries == 0
        await one.close()

    play(scenario)


def test_mail_that_came_too_fast_comes_again_soon(play) -> None:
    async def scenario() -> None:
        one = world(adaptive_retry_s="1m")
        tell(one, rate_per_s=10.0)
        one.answer = lambda tx, to: TOO_FAST if to.startswith("fast") else LATER
        fast = await one.send("fast@a.example")
        other = await one.send("other@a.example")
        await one.pass_time(2)
        assert 45 < one.spool.due(fast) - one.now() < 75
        assert one.spool.due(other) - one.now() > 900
        await one.close()

    play(scenario)


def test_without_adaptive_it_waits_as_any_other(play) -> None:
    async def scenario() -> None:
        one = world("off")
        one.answer = lambda tx, to: TOO_FAST
        ref = await one.send("fast@a.example")
        await one.pass_time(2)
        assert one.spool.due(ref) - one.now() > 900
        await one.close()

    play(scenario)


def test_what_came_of_the_attempts_is_told(play) -> None:
    async def scenario() -> None:
        one = world("off")
        answers = {"fast": TOO_FAST, "later": LATER, "never": NEVER}
        one.answer = lambda tx, to: answers.get(to.partition("@")[0]) or one_ok
        one_ok = Outcome(Kind.DELIVERED, Phase.FINAL, Reply.of(250, "2.0.0 Ok"))
        for name in ("fast", "later", "never", "ann", "bob"):
            await one.send(f"{name}@a.example")
        await one.pass_time(3)
        [row] = rows(one)
        counts = {name: row.get(name, 0) for name in ("delivered", "throttled", "refused")}
        assert counts == {"delivered": 2, "throttled": 1, "refused": 1}
        assert (row["hosts"], row["hosts_failed"], row["busy"]) == (1, 0, False)
        assert row["connected"] == row["in_use"] >= 1
        assert rows(one) == []  # said once
        await one.close()

    play(scenario)


def test_a_greeting_that_refuses_is_about_connections(play) -> None:
    async def scenario() -> None:
        one = world("on", adaptive_retry_s="1m")
        one.refuse_connect = TOO_MANY
        ref = await one.send("ann@a.example")
        await one.pass_time(1)
        [row] = rows(one)
        assert (row["throttled"], row["crowded"], row.get("connect_failed", 0)) == (1, 1, 0)
        assert 45 < one.spool.due(ref) - one.now() < 75
        await one.close()

    play(scenario)


def test_a_host_that_is_not_reached_is_counted_beside_the_others(play) -> None:
    async def scenario() -> None:
        one = world("off")
        await one.send("ann@a.example")
        await one.pass_time(1)
        one.refuse_connect = Outcome(Kind.DEFERRED, Phase.CONNECT, Reply.of(451, "4.4.1 timeout"))
        await one.send("ann@b.example")
        await one.pass_time(1)
        [row] = rows(one)
        assert (row["connect_failed"], row["hosts"], row["hosts_failed"]) == (1, 2, 1)
        await one.close()

    play(scenario)


def test_pairs_are_bounded(play) -> None:
    async def scenario() -> None:
        one = RelayWorld(config=DispatchConfig())
        tallies = one.dispatcher.paces.tallies
        tallies._pairs_max = 2
        for n in range(5):
            tallies.of("default", f"p{n}").delivered += 1
        assert len(tallies) == len(rows(one)) == 2
        await one.close()

    play(scenario)


def test_sites_ask_the_governor_for_one_pace_and_lose_no_turn(play, monkeypatch) -> None:
    """What is granted after a question must be known again as asked for, by each site."""

    def limiter(clock: Any) -> GovernorLimiter:
        governor = Governor(clock)

        async def call(method: str, params: Any) -> Any:
            await asyncio.sleep(0.0005)
            return governor.handle(0, method, params)

        return GovernorLimiter(call, clock, RemoteConfig())

    async def scenario() -> None:
        monkeypatch.setattr("penstock.sim.relay.LocalLimiter", limiter)
        one = world(message_rate="100/s")
        tell(one, rate_per_s=1.0)
        await fill(one, 90, "a.example", "b.example", "c.example")
        await one.pass_time(60)
        assert 58 <= len(one.seen) <= 61
        await one.close()

    play(scenario)
