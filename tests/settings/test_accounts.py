"""What accounts and listeners say for mail that says nothing, and what their mail may say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.intake.control import Permit
from penstock.intake.defaults import Defaults
from penstock.settings.models import Settings
from penstock.settings.restart import restart_needed
from penstock.worker.parts import accounts, listener_config

SMTP = """\
hostname = "mx.example"
[[smtp]]
listen = "127.0.0.1:2525"
"""


def test_they_reach_intake(settings_of: Callable[[str], Settings], password_hash: str) -> None:
    smtp = settings_of(
        f'{SMTP}tenant = "t"\ncampaign = "c"\nclass = "triggered"\npool = "p"\n'
        f'deliver_at_max_s = "2d"\n'
        f'[[smtp.auth]]\nuser = "a"\npassword_hash = "{password_hash}"\ncampaign = "d"\n'
        f'class = "bulk"\npool = "q"\npools = ["q", "r"]\nclasses = ["bulk"]\n'
    ).smtp[0]
    made = listener_config(settings_of(SMTP), smtp)
    assert made.defaults == Defaults("t", "c", "triggered", "p")
    assert made.deliver_at_max_s == 2 * 86400.0
    [account] = accounts(smtp)
    assert account.defaults == Defaults("", "d", "bulk", "q")
    assert account.permit == Permit(("q", "r"), ("bulk",))


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ('class = "bluk"', '5: smtp[0].class: expected "" or "transactional" or "triggered" or '),
        ('clas = "bulk"', '5: smtp[0].clas: unknown key; did you mean "class"?'),
        ('class_ = "bulk"', '5: smtp[0].class_: unknown key; did you mean "class"?'),
        ('pool = "a b"', "5: smtp[0].pool: not 1 to 64 of A-Z a-z 0-9 . _ -: 'a b'"),
        ('deliver_at_max_s = "2y"', "5: smtp[0].deliver_at_max_s: not a duration"),
    ],
)
def test_a_mistake_is_named_with_its_line(
    problems_of: Callable[[str], list[str]], key: str, problem: str
) -> None:
    [told] = problems_of(f"{SMTP}\n{key}\n")
    assert told.startswith(f"config.toml:{problem}")


def test_a_default_has_to_be_among_what_the_account_may_say(
    problems_of: Callable[[str], list[str]], password_hash: str
) -> None:
    def account(more: str) -> str:
        return f'auth = [{{ user = "a", password_hash = "{password_hash}", {more} }}]\n'

    [own] = problems_of(SMTP + account('pool = "x", pools = ["a", "b"]'))
    assert own == (
        'config.toml:4: smtp[0].auth[0].pool: the account\'s pool "x" is not among its pools; '
        "pools: a, b"
    )
    [general] = problems_of(SMTP + 'class = "bulk"\n' + account('classes = ["triggered"]'))
    assert general == (
        'config.toml:5: smtp[0].auth[0].classes: the account\'s class "bulk" is not among its '
        "classes; classes: triggered"
    )
    assert problems_of(SMTP + 'pool = "x"\n' + account('pool = "a", pools = ["a"]')) == []


def test_accounts_may_change_while_it_runs_and_listeners_not(
    settings_of: Callable[[str], Settings],
) -> None:
    before, after = settings_of(SMTP), settings_of(f'{SMTP}class = "bulk"\npool = "p"\n')
    assert restart_needed(before, after) == ["smtp[0].class", "smtp[0].pool"]
