"""Lines of those who wait for a limit: who is woken when, and that nobody is forgotten."""

from __future__ import annotations

import asyncio

from penstock.relay.gates import Gate, Gates


class Waiter:
    """Notes when it is woken; asks for nothing again."""

    def __init__(self) -> None:
        self.gate: Gate | None = None
        self.turn = ""
        self.woken: list[float] = []

    def awake(self) -> None:
        self.woken.append(asyncio.get_running_loop().time())


def test_seats_and_tokens_of_one_key_are_two_lines(play) -> None:
    """A site's connections and its rate are counted by the same key. In one line the first to be
    refused a token would be woken for a seat, and who waits for a seat only with the next token."""

    async def scenario() -> None:
        gates, now = Gates(), asyncio.get_running_loop().time()
        for_token, for_seat = Waiter(), Waiter()
        gates.wait("site:mx", for_token, now + 60, 30.0)
        gates.wait("site:mx", for_seat, now + 0.5, 0.5, seats=True)
        assert (gates.waiting("site:mx"), gates.waiting("site:mx", seats=True)) == (1, 1)
        gates.passed("site:mx", seats=True)
        assert (len(for_seat.woken), for_token.woken) == (1, [])
        gates.wait("site:mx", for_seat, now + 0.5, 0.5, seats=True)
        await asyncio.sleep(61)
        assert for_seat.woken == [now, now + 0.5]
        assert for_token.woken == [now + 60]
        assert len(gates) == 0

    play(scenario)


def test_each_gets_a_turn_with_the_next_token_where_the_first_has_no_use_for_it(play) -> None:
    async def scenario() -> None:
        gates, now = Gates(), asyncio.get_running_loop().time()
        waiters = [Waiter() for _ in range(3)]
        for waiter in waiters:
            gates.wait("tenant:shop", waiter, now + 10, 2.0)
        await asyncio.sleep(20)
        assert [waiter.woken for waiter in waiters] == [[now + 10], [now + 12], [now + 14]]

    play(scenario)
