"""Replies without a rule, added up over the workers that are there."""

from __future__ import annotations

from penstock.daemon.bounces import Bounces


def row(reply: str, count: int, provider: str = "gmail", category: str = "unknown") -> dict:
    return {"provider": provider, "reply": reply, "category": category, "count": count}


async def test_texts_are_added_up_and_the_most_frequent_come_first(owner) -> None:
    first, second = owner.children
    first.answers["bounces.unmatched"] = [row("550 a", 2), row("550 b", 3)]
    second.answers["bounces.unmatched"] = [row("550 a", 2), row("550 a", 1, "yahoo")]
    bounces = Bounces(owner)
    answer = await bounces.unmatched({})
    assert answer["rows"] == [row("550 a", 4), row("550 b", 3), row("550 a", 1, "yahoo")]
    assert (answer["total"], answer["replies"], answer["away"]) == (3, 8, [])
    answer = await bounces.unmatched({"limit": 1})
    assert (answer["rows"], answer["total"]) == ([row("550 a", 4)], 3)
    answer = await bounces.unmatched({"provider": "yahoo"})
    assert answer["rows"] == [row("550 a", 1, "yahoo")]
