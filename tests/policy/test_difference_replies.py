"""What changes in the rules for replies is told rule by rule, and a moved line is no change."""

from __future__ import annotations

from collections.abc import Callable

from penstock.policy.difference import difference
from penstock.policy.policies import Policies

Load = Callable[[dict[str, str]], Policies]
ONE = "[[rule]]\nname = 'one'\ncategory = 'throttled'\nmatch = 'rate'\nmatches = ['450 rate']\n"
TWO = ONE.replace("'one'", "'two'").replace("rate", "pace")


def changes(load: Load, before: str, after: str) -> list[str]:
    head = 'provider = "gmail"\n'
    old, new = (load({"replies/gmail.toml": head + text}) for text in (before, after))
    return [str(change) for change in difference(old, new)]


def test_rules_that_come_go_and_change(load: Load) -> None:
    assert changes(load, ONE, "# moved\n" + ONE.replace("450 rate", "451 rate")) == []
    assert changes(load, ONE, ONE + TWO) == [
        "reply rule gmail/two: added throttled (policies/replies/gmail.toml:7)"
    ]
    assert changes(load, ONE + TWO, ONE) == ["reply rule gmail/two: removed throttled"]
    slow = ONE + "action = 'slow'\nto = '5/min'\n"
    assert changes(load, ONE, slow) == [
        "reply rule gmail/one: action: added slow (policies/replies/gmail.toml:2)",
        "reply rule gmail/one: to: added 5/min (policies/replies/gmail.toml:2)",
        "reply rule gmail/one: for: added 30m (policies/replies/gmail.toml:2)",
        "reply rule gmail/one: for_max: added 8h (policies/replies/gmail.toml:2)",
    ]


def test_the_order_counts(load: Load) -> None:
    assert changes(load, ONE + TWO, TWO + ONE) == ["reply rules gmail: order: as it was -> another"]
