"""``guards.toml``: what is loaded, what is refused, and what a reload shows."""

from __future__ import annotations

from penstock.policy.difference import difference
from penstock.policy.policies import Policies

GOOD = """
[guard.spam]
metric = "complaints"
above = "0.2%"
per = "tenant"
action = "pause"
for = "2h"
"""


def test_the_shipped_guards_are_those_of_the_documentation_and_only_tell(shipped: Policies) -> None:
    found = {name: (one.metric, one.above, one.action) for name, one in shipped.guards.items()}
    assert found == {
        "complaints": ("complaints", 0.002, "tell"),
        "unsubscribes": ("unsubscribes", 0.004, "tell"),
        "hard-bounces": ("hard-bounces", 0.03, "tell"),
        "deferrals": ("deferrals", 0.2, "tell"),
    }
    assert all(one.sample_min == 500 for one in shipped.guards.values())


def test_a_guard_knows_its_lines(load) -> None:
    guard = load({"guards.toml": GOOD}).guards["spam"]
    assert (guard.per, guard.window_s, guard.for_s) == ("tenant", 3600.0, 7200.0)
    assert str(guard.at) == "policies/guards.toml:2"
    assert str(guard.where("above")) == "policies/guards.toml:4"


def test_mistakes_are_named_with_file_line_and_what_was_meant(problems) -> None:
    text = GOOD.replace("above", "abov").replace('"pause"', '"paus"')
    lines = problems({"guards.toml": text})
    assert any("guards.toml:4: guard.spam.abov" in one and "above" in one for one in lines)
    assert any("guards.toml:6" in one and 'did you mean "pause"' in one for one in lines)
    (line,) = problems({"guards.toml": GOOD.replace("complaints", "complains")})
    assert "guards.toml:3" in line
    assert '"complaints"' in line


def test_slow_is_refused_and_says_what_there_is(problems) -> None:
    (line,) = problems({"guards.toml": GOOD.replace('"pause"', '"slow"')})
    assert 'a guard can "tell" or "pause"' in line


def test_a_percentage_is_written_as_one(problems) -> None:
    for bad in ("0.002", '"0%"', '"101%"', '"x%"'):
        (line,) = problems({"guards.toml": GOOD.replace('"0.2%"', bad)})
        assert "guards.toml:4" in line, bad


def test_for_without_a_pause_is_a_contradiction(problems) -> None:
    (line,) = problems({"guards.toml": GOOD.replace('"pause"', '"tell"')})
    assert "guards.toml:7: guard.spam.for" in line


def test_a_reload_shows_what_changes(load) -> None:
    old = load({"guards.toml": GOOD})
    new = load({"guards.toml": GOOD.replace("0.2%", "0.3%") + GOOD.replace("spam", "more")})
    shown = [str(change) for change in difference(old, new)]
    assert "guard spam: above: 0.2% -> 0.3% (policies/guards.toml:4)" in shown
    assert "guard more: added guard (policies/guards.toml:9)" in shown
    assert [str(c) for c in difference(new, load({}))] == [
        "guard more: removed guard",
        "guard spam: removed guard",
    ]
