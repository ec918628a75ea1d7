"""Whether a pace is found from replies, and within what: limits like others, but per provider."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.policy.policies import Policies
from penstock.policy.rate import Rate

Load = Callable[[dict[str, str]], Policies]
Problems = Callable[[dict[str, str]], list[str]]
BIG = 'mx = [".big.example"]\n'
SOURCES = '[source.s1]\nipv4 = "192.0.2.1"\n[source.s2]\nipv4 = "192.0.2.2"\n'


def test_it_is_off_unless_said_and_says_who_said_it(load: Load) -> None:
    assert load({"providers/big.toml": BIG}).limits("big", "", "").adaptive == "off"
    files = {
        "sources.toml": SOURCES,
        "default.toml": '[limits]\nadaptive = "on"\nadaptive_floor = "1/min"\n',
        "providers/big.toml": f'{BIG}[limits]\nadaptive = "observe"\n'
        '[[narrow]]\nsource = "s2"\nadaptive = "off"\n',
    }
    policies = load(files)
    limits = policies.limits("big", "", "", "s1")
    assert (limits.adaptive, limits.adaptive_floor) == ("observe", Rate.parse("1/min"))
    assert str(limits.where("adaptive")).endswith("providers/big.toml:3")
    assert policies.limits("big", "", "", "s2").adaptive == "off"
    assert policies.limits("", "", "x.example").adaptive == "off"  # of no provider: no pair


@pytest.mark.parametrize(
    ("default", "said"),
    [
        ('[limits]\nadaptive = "maybe"\n', "adaptive"),
        ('[limits]\nadaptve = "on"\n', 'did you mean "adaptive"'),
        ('[limits]\nadaptive_floor = "unlimited"\n', 'expected a rate, like "100/min"'),
        (
            '[limits]\nadaptive_ceiling = "1/h"\nadaptive_floor = "1/min"\n',
            "the floor, 1/min, is above the ceiling, 1/h",
        ),
        (
            '[[narrow]]\nsource = "s1"\nsite = "mx.big.example"\nadaptive = "on"\n',
            "is found over all sites of a provider, so not for one site",
        ),
        ('[[narrow]]\nclass = "bulk"\nadaptive = "on"\n', "cannot be narrowed by class"),
        ('[site."mx.big.example"]\nadaptive = "on"\n', "adaptive"),
    ],
)
def test_what_cannot_be_meant_is_an_error_with_its_line(
    default: str, said: str, problems: Problems
) -> None:
    found = problems({"sources.toml": SOURCES, "default.toml": default})
    assert any(said in one for one in found), found
    assert all("default.toml:" in one for one in found)
