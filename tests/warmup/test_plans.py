"""Plans of warming: what a file says, what cannot be meant, and those that are shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.policy.difference import difference
from penstock.policy.load import load_policies
from penstock.policy.policies import Policies

SHIPPED = Path(__file__).parents[2] / "policies"
GMAIL = 'mx = [".google.example"]\n'
PLAN = """\
messages = [100, 200, 400]
share = 0.5
hours = "mon-fri 08:00-20:00 Europe/Berlin"
idle_days = 20

[gates]
deferral = 0.03

[provider.gmail]
share = 0.25

[provider.other]
messages = [7, 8]
"""
WRONG = """\
policies/sources.toml:3: source.s1.warmup: there is no warm-up plan "slwo"; did you mean "slow"?
policies/warmup/none.toml: the key "messages" is missing
policies/warmup/none.toml:1: hours: unknown time zone 'Europe/Berln'; did you mean "Europe/Berlin"?
policies/warmup/slow.toml:1: messages[1]: 90 is less than the 100 of the stage before; \
the stages of a plan rise
policies/warmup/slow.toml:2: huors: unknown key; did you mean "hours"?
policies/warmup/slow.toml:3: provider.gmial: there is no provider "gmial"; did you mean "gmail"?
policies/warmup/slow.toml:5: provider.gmail: a provider needs either share or messages
policies/warmup/slow.toml:7: provider.other.share: must be at most 1, not the number 2
policies/warmup/slow.toml:9: gates.sample: must be at least 1, not the number 0"""


def load(files: dict[str, str]) -> Policies:
    loaded = load_policies(files)
    assert isinstance(loaded, Policies), "\n".join(map(str, loaded))
    return loaded


def problems(files: dict[str, str]) -> list[str]:
    loaded = load_policies(files)
    assert isinstance(loaded, list)
    return [str(problem) for problem in loaded]


def test_a_plan_is_stages_for_each_provider_hours_and_bars() -> None:
    policies = load(
        {
            "warmup/slow.toml": PLAN,
            "providers/gmail.toml": GMAIL,
            "sources.toml": '[source.s1]\nipv4 = "192.0.2.1"\nwarmup = "slow"\n'
            '[source.s2]\nipv4 = "192.0.2.2"\n',
        }
    )
    plan = policies.warmup("s1")
    assert plan is not None
    assert plan.stages("gmail") == (25, 50, 100)
    assert plan.stages("yahoo") == (50, 100, 200)
    assert plan.stages("") == (7, 8)
    assert (plan.hours.zone, plan.idle_days, plan.gates.deferral) == ("Europe/Berlin", 20, 0.03)
    assert plan.gates.volume == 0.9
    assert str(plan.where("hours")) == "policies/warmup/slow.toml:3"
    assert policies.warmup("s2") is None
    assert policies.warmup("nobody") is None


def test_what_cannot_be_meant_names_its_line() -> None:
    found = problems(
        {
            "providers/gmail.toml": GMAIL,
            "sources.toml": '[source.s1]\nipv4 = "192.0.2.1"\nwarmup = "slwo"\n',
            "warmup/slow.toml": "messages = [100, 90]\nhuors = 'daily 08:00-20:00 UTC'\n"
            "[provider.gmial]\nshare = 1\n"
            "[provider.gmail]\n[provider.other]\nshare = 2\n[gates]\nsample = 0\n",
            "warmup/none.toml": "hours = 'daily 08:00-20:00 Europe/Berln'\n",
        }
    )
    assert "\n".join(found) == WRONG


def test_a_reload_says_what_changes_in_a_plan() -> None:
    files = {"warmup/slow.toml": PLAN, "providers/gmail.toml": GMAIL}
    changed = {**files, "warmup/slow.toml": PLAN.replace("idle_days = 20", "idle_days = 40")}
    assert [str(one) for one in difference(load(files), load(changed))] == [
        "warm-up plan slow: idle_days: 20 -> 40 (policies/warmup/slow.toml:4)"
    ]


@pytest.fixture(scope="module")
def shipped() -> Policies:
    return load(
        {
            path.relative_to(SHIPPED).as_posix(): path.read_text("utf-8")
            for path in SHIPPED.rglob("*.toml")
        }
    )


def test_the_shipped_plans(shipped: Policies) -> None:
    assert set(shipped.warmups) >= {"conservative", "sparkpost", "sendgrid", "russia"}
    for plan in shipped.warmups.values():
        for provider in ("", *shipped.providers):
            stages = plan.stages(provider)
            assert list(stages) == sorted(stages)
        assert plan.idle_days == 30


@pytest.mark.parametrize("name", ["sparkpost", "sendgrid"])
def test_all_providers_together_keep_to_the_published_schedule(
    shipped: Policies, name: str
) -> None:
    plan = shipped.warmups[name]
    whole = [round(one / 0.4) for one in plan.stages("gmail")]
    for stage in range(10, len(whole)):  # before it "at least one" weighs more than the shares
        total = sum(plan.stages(provider)[stage] for provider in ("", *shipped.providers))
        assert total <= whole[stage]


def test_the_russian_plan_ends_at_the_published_ceilings(shipped: Policies) -> None:
    plan = shipped.warmups["russia"]
    last = {name: plan.stages(name)[-1] for name in ("mail.ru", "yandex", "gmail", "microsoft")}
    assert last == {"mail.ru": 16000, "yandex": 16000, "gmail": 2000, "microsoft": 4000}
