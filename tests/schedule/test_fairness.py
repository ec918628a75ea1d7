"""Who gets how much of a site: floors of classes, shares of tenants and campaigns, retries."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from penstock.schedule.ready import Place, ReadyQueue

TRANSACTIONAL, TRIGGERED, BULK = 0, 1, 2


def alone(ref: int) -> int:
    return ref


def together(ref: int) -> int:
    return 0


def at(
    class_: int, tenant: str = "t", weight: int = 1, campaign: str = "c", share: int = 1
) -> Place:
    return Place(class_, tenant, weight, campaign, share)


class Backlog:
    """Lanes that never run empty; ``sizes``: how many refs a lane's transactions have."""

    def __init__(self, **places: Place) -> None:
        self.queue = ReadyQueue()
        self.names = dict(enumerate(places))
        for key, place in enumerate(places.values()):
            self.queue.place(key, place)
            self.fill(key)

    def fill(self, key: int) -> None:
        while self.queue.count(key) < 300:
            self.queue.push(key, 0)

    def key(self, name: str) -> int:
        return next(key for key, each in self.names.items() if each == name)

    def take(self, takes: int, **sizes: int) -> Counter[str]:
        taken: Counter[str] = Counter()
        for _ in range(takes):
            key = self.queue.turn()
            assert key is not None
            name = self.names[key]
            taken[name] += len(self.queue.take(together, sizes.get(name, sizes.get("all", 1))))
            self.fill(key)
        return taken

    def order(self, takes: int) -> str:
        return "".join(next(iter(self.take(1))) for _ in range(takes))


def assert_shares(taken: Counter[str], within: float, one: int = 0, **weights: float) -> None:
    """Everybody has its share, give or take ``within`` of it and ``one`` transaction."""
    total, all_weights = sum(taken.values()), sum(weights.values())
    for name, weight in weights.items():
        share = total * weight / all_weights
        assert abs(taken[name] - share) <= within * share + one, taken


@pytest.mark.parametrize("sizes", [{}, {"all": 100}, {"a": 100, "b": 1}, {"a": 1, "b": 100}])
@pytest.mark.parametrize("scale", [1, 100])
def test_two_tenants_of_weights_three_and_one_get_three_to_one(
    sizes: dict[str, int], scale: int
) -> None:
    backlog = Backlog(a=at(BULK, "a", 3 * scale), b=at(BULK, "b", scale))
    backlog.take(7, **sizes)
    one = 100 if len(sizes) == 2 else 0
    assert_shares(backlog.take(1000, **sizes), 0.01, one, a=3, b=1)


def test_shares_are_fine_grained_whatever_the_scale_of_the_weights() -> None:
    assert Backlog(a=at(BULK, "a", 300), b=at(BULK, "b", 100)).order(8) == "aaabaaab"


def test_campaigns_share_what_their_tenant_gets_and_lanes_what_their_campaign_gets() -> None:
    backlog = Backlog(
        a=at(BULK, "one", 1, "spring", 4),
        b=at(BULK, "one", 1, "summer", 1),
        c=at(BULK, "two", 1, "x"),
        d=at(BULK, "two", 1, "x"),
    )
    assert_shares(backlog.take(1000), 0.01, a=40, b=10, c=25, d=25)


def test_many_lanes_give_a_tenant_no_larger_share() -> None:
    many = {f"m{n}": at(BULK, "many", 1, f"c{n % 5}") for n in range(50)}
    taken = Backlog(few=at(BULK, "few"), **many).take(2000)
    assert taken["few"] == 1000
    assert all(taken[name] == 20 for name in many)


def test_a_tenant_with_one_large_transaction_at_a_time_has_no_larger_share() -> None:
    backlog = Backlog(a=at(BULK, "a"))
    queue = backlog.queue
    queue.place(99, at(BULK, "b"))
    taken: Counter[int] = Counter()
    for _ in range(5000):
        if not queue.count(99):
            for _ in range(100):
                queue.push(99, 0)
        key = queue.turn()
        assert key is not None
        taken[key] += len(queue.take(together, 100 if key == 99 else 1))
        backlog.fill(0)
    assert taken[99] == pytest.approx(taken[0], abs=101)


def test_a_debt_ends_with_the_rush_in_which_it_was_made() -> None:
    queue = ReadyQueue()
    queue.place(1, at(BULK, "a"))
    queue.place(2, at(BULK, "b"))
    for _ in range(100):
        queue.push(1, 0)
    queue.push(2, 0)
    while queue.take(together, 100):
        pass
    for ref in range(4):
        queue.push(1, ref)
        queue.push(2, ref)
    order = []
    while (key := queue.turn()) is not None:
        order.append(key)
        queue.take(alone, 1)
    assert sorted(order[:2]) == sorted(order[2:4]) == [1, 2]


@pytest.mark.parametrize("where", ["tenant", "campaign"])
def test_a_debt_is_forgiven_as_others_are_served(where: str) -> None:
    names = {
        name: at(BULK, name) if where == "tenant" else at(BULK, campaign=name) for name in "abc"
    }
    backlog = Backlog(**names)
    queue, b = backlog.queue, backlog.key("b")
    queue.drop(b)
    queue.place(b, names["b"])
    for at_once in (100, 1):
        for _ in range(at_once):
            queue.push(b, 0)
        waited = 0
        while queue.count(b):
            key = queue.turn()
            assert key is not None
            queue.take(together, 100 if key == b else 1)
            if key != b:
                waited += 1
                backlog.fill(key)
        assert waited <= 2
        # 100 for each of the others: as much as b had, so it owes nothing any more
        assert backlog.take(200) == {"a": 100, "c": 100}


@pytest.mark.parametrize("size", [1, 20])
def test_what_goes_back_is_not_paid_for(size: int) -> None:
    """Mail of ``b`` and ``bulk`` must be read first: taken, put back, taken again."""
    backlog = Backlog(
        a=at(TRANSACTIONAL, "a"), b=at(TRANSACTIONAL, "b"), bulk=at(BULK), slow=at(BULK, "slow")
    )
    queue, taken, read = backlog.queue, Counter[str](), set[int]()
    for _ in range(4000):
        key = queue.turn()
        assert key is not None
        refs, name = queue.take(together, size), backlog.names[key]
        if name != "a" and key not in read:
            read.add(key)
            for ref in reversed(refs):
                queue.push_front(key, ref)
            continue
        read.discard(key)
        taken[name] += len(refs)
        backlog.fill(key)
    assert_shares(taken, 0.02, 2 * size, a=47.5, b=47.5, bulk=2.5, slow=2.5)


def test_who_was_alone_owes_at_most_its_last_transaction() -> None:
    backlog = Backlog(a=at(BULK, "a"), b=at(BULK, "b"))
    backlog.queue.hold(backlog.key("b"))
    backlog.take(50, all=100)
    backlog.queue.release(backlog.key("b"))
    taken = backlog.take(300)
    assert 199 <= taken["b"] <= 200
    assert backlog.take(100) == {"a": 50, "b": 50}


def test_nobody_saves_up_turns_by_what_goes_back() -> None:
    backlog = Backlog(a=at(BULK, "a"), b=at(BULK, "b"), urgent=at(TRIGGERED))
    backlog.queue.hold(backlog.key("urgent"))
    for name in ("b", "urgent"):
        for ref in range(500):
            backlog.queue.push_front(backlog.key(name), ref)
    assert backlog.order(40).count("b") in (20, 21)
    backlog.queue.release(backlog.key("urgent"))
    for ref in range(500):
        backlog.queue.push_front(0, ref)
    taken = backlog.take(40)
    assert 2 <= taken["a"] + taken["b"] <= 3


def test_who_was_idle_has_saved_up_nothing() -> None:
    backlog = Backlog(a=at(BULK, "a", 3), b=at(BULK, "b"))
    b = backlog.key("b")
    backlog.queue.drop(b)
    backlog.take(1000)
    backlog.queue.place(b, at(BULK, "b"))
    backlog.fill(b)
    assert_shares(backlog.take(40), 0.1, a=3, b=1)


@pytest.mark.parametrize("level", ["tenant", "campaign"])
def test_other_weights_hold_from_the_reload_on(level: str) -> None:
    def weighing(name: str, weight: int) -> Place:
        return at(BULK, name, weight) if level == "tenant" else at(BULK, "t", 1, name, weight)

    backlog = Backlog(a=weighing("a", 3), b=weighing("b", 1))
    backlog.take(10)
    backlog.queue.place(0, weighing("a", 1))
    assert_shares(backlog.take(1000), 0.01, a=1, b=1)
    backlog.queue.place(1, weighing("b", 9))
    assert_shares(backlog.take(1000), 0.01, a=1, b=9)


def test_weights_told_while_there_was_one_tenant_hold_when_another_comes() -> None:
    backlog = Backlog(a=at(BULK, "a", 1))
    backlog.queue.place(0, at(BULK, "a", 4))
    backlog.names[1] = "b"
    backlog.queue.place(1, at(BULK, "b", 1))
    backlog.fill(1)
    assert_shares(backlog.take(1000), 0.01, a=4, b=1)


# classes


def test_the_more_urgent_class_goes_first() -> None:
    queue = ReadyQueue()
    for key, class_ in enumerate((BULK, TRIGGERED, TRANSACTIONAL)):
        queue.place(key, at(class_))
        queue.push(key, class_)
        queue.push(key, class_)
    assert [queue.take(alone, 1) for _ in range(6)] == [[0], [0], [1], [1], [2], [2]]


def test_one_urgent_message_passes_a_backlog_of_bulk() -> None:
    backlog = Backlog(bulk=at(BULK), urgent=at(TRANSACTIONAL))
    backlog.queue.drop(1)
    backlog.take(50)
    backlog.queue.place(1, at(TRANSACTIONAL))
    backlog.queue.push(1, 7)
    assert backlog.queue.turn() == 1
    assert backlog.queue.take(alone, 1) == [7]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_every_class_keeps_its_floor(size: int) -> None:
    backlog = Backlog(a=at(TRANSACTIONAL), b=at(TRIGGERED), c=at(BULK))
    taken = backlog.take(1000, all=size)
    assert taken["b"] >= 100 * size - size
    assert taken["c"] >= 50 * size - size
    assert_shares(taken, 0.0, size, a=85, b=10, c=5)


def test_a_floor_is_kept_in_every_stretch_of_refs() -> None:
    order = Backlog(a=at(TRANSACTIONAL), c=at(BULK)).order(2000)
    for start in range(0, 1900, 7):
        assert order[start : start + 100].count("c") == 5


def test_a_floor_counts_refs_also_where_only_bulk_is_sent_in_large_transactions() -> None:
    taken = Backlog(a=at(TRANSACTIONAL), c=at(BULK)).take(10_000, c=100)
    assert_shares(taken, 0.0, 100, a=95, c=5)


def test_a_floor_cannot_be_saved_up() -> None:
    backlog = Backlog(a=at(TRANSACTIONAL), c=at(BULK))
    node = backlog.queue.sleep(backlog.key("c"), "class")
    assert backlog.take(1000)["c"] == 0
    backlog.queue.wake(node)
    assert backlog.order(60).count("c") == 3


def test_what_bulk_had_while_nobody_waited_is_not_charged() -> None:
    backlog = Backlog(a=at(TRANSACTIONAL), c=at(BULK))
    backlog.queue.hold(0)
    backlog.take(1000)
    backlog.queue.release(0)
    assert backlog.order(100).count("c") == 5


def test_floors_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="floors"):
        ReadyQueue((0.5, 0.5, 0.1))
    with pytest.raises(ValueError, match="floors"):
        ReadyQueue((0.0, -0.1, 0.1))


def test_without_a_floor_the_less_urgent_waits() -> None:
    queue = ReadyQueue((0.0, 0.0, 0.0))
    queue.place(1, at(TRANSACTIONAL))
    queue.place(2, at(BULK))
    for ref in range(100):
        queue.push(1, ref)
        queue.push(2, ref)
    assert all(queue.turn() == 1 and queue.take(alone, 1) for _ in range(100))
    assert queue.turn() == 2


# retries


def test_retries_have_one_transaction_in_five() -> None:
    queue = ReadyQueue()
    for ref in range(10):
        queue.push(1, ref)
        queue.push_retry(1, 100 + ref)
    order = [queue.take(alone, 1)[0] for _ in range(20)]
    assert order[:10] == [0, 1, 2, 3, 100, 4, 5, 6, 7, 101]
    assert order[10:13] == [8, 9, 102]


def test_fresh_mail_and_retries_are_never_in_one_transaction() -> None:
    queue = ReadyQueue()
    queue.push(1, 0)
    queue.push_retry(1, 1)
    assert [queue.take(together, 9), queue.take(together, 9)] == [[0], [1]]


# turns


def test_the_turn_stays_until_something_happens_to_it() -> None:
    backlog = Backlog(a=at(BULK, "a"), b=at(BULK, "b"))
    first = backlog.queue.turn()
    assert first is not None
    for key in (5, 6):  # of the same urgency, so they get in line
        backlog.queue.place(key, at(BULK, f"t{key}"))
        backlog.queue.push(key, 0)
    assert backlog.queue.turn() == first
    node = backlog.queue.sleep(first, "tenant")
    assert backlog.queue.turn() == 1 - first
    backlog.queue.wake(node)
    backlog.queue.place(9, at(TRIGGERED))
    backlog.queue.push(9, 0)
    assert backlog.queue.turn() == 9


def test_nobody_waits_longer_than_everybody_elses_turns() -> None:
    rng = random.Random(1)
    places = {f"l{n}": at(BULK, f"t{n % 7}", 1 + n % 3, f"c{n % 3}") for n in range(60)}
    backlog = Backlog(**places)
    seen = Counter(name for _ in range(3000) for name in backlog.take(1, all=rng.randint(1, 5)))
    assert set(seen) == set(places)
