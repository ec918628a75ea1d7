"""What a tenant's mail carries: its own table over that of ``"*"``, key by key, with its places."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.policy.account import Sender, sending
from penstock.policy.difference import difference
from penstock.policy.load import load_policies
from penstock.policy.policies import Policies

Load = Callable[[dict[str, str]], Policies]
TENANTS = """\
[tenant."*".feedback]
bounce_domain = "B.Mailer.Example"
feedback_id = "mailer"

[tenant.shop.feedback]
unsubscribe_url = "https://u.shop.example/u/"
bounce_domain = "b.shop.example"

[tenant.plain]
weight = 2

[tenant.quiet.feedback]
bounce_domain = ""
"""


@pytest.fixture
def policies(load: Load) -> Policies:
    return load({"tenants.toml": TENANTS})


def test_a_tenants_keys_are_laid_over_the_common_ones(policies: Policies) -> None:
    shop = policies.feedback("shop")
    assert shop.bounce_domain == "b.shop.example"
    assert shop.unsubscribe_url == "https://u.shop.example/u"
    assert shop.feedback_id == "mailer"
    assert str(shop.where("bounce_domain")) == "policies/tenants.toml:7"
    assert str(shop.where("feedback_id")) == "policies/tenants.toml:3"


@pytest.mark.parametrize("name", ["plain", "unknown", ""])
def test_the_common_ones_are_for_everybody_else_and_for_nobodys_mail(
    policies: Policies, name: str
) -> None:
    found = policies.feedback(name)
    assert (found.bounce_domain, found.feedback_id) == ("b.mailer.example", "mailer")
    assert not found.unsubscribes


def test_it_is_shown_with_who_says_so(policies: Policies) -> None:
    shown = {
        value.name: (value.text, str(value.where))
        for value in sending(policies, Sender(tenant="shop"))
    }
    assert shown["feedback.feedback_id"] == ("mailer", "policies/tenants.toml:3")
    assert shown["feedback.unsubscribe_url"][1] == "policies/tenants.toml:6"
    assert "feedback.cfbl_domain" not in shown


def test_an_empty_text_turns_one_off(policies: Policies) -> None:
    quiet = policies.feedback("quiet")
    assert (quiet.bounce_domain, quiet.feedback_id) == ("", "mailer")


def test_without_any_table_nothing_is_on(load: Load) -> None:
    assert not load({}).feedback("shop").on
    assert not load({"tenants.toml": "[tenant.shop]\nweight = 2\n"}).feedback("shop").on


def test_a_reload_shows_what_changes(load: Load) -> None:
    old = load({"tenants.toml": '[tenant.shop.feedback]\nfeedback_id = "mailer"\n'})
    new = load({"tenants.toml": '[tenant.shop.feedback]\nfeedback_id = "mailer2"\n'})
    changes = [str(change) for change in difference(old, new)]
    assert changes == ["feedback of shop: feedback_id: mailer -> mailer2 (policies/tenants.toml:2)"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('bounce_domian = "b.example"', 'unknown key; did you mean "bounce_domain"?'),
        ('bounce_domain = "b example"', "b example"),
        ('unsubscribe_url = "http://u.example/u"', "https://"),
        ('unsubscribe_url = "https://u.example/u?t="', "the token is put behind it"),
        ('unsubscribe_url = "https://u.example/<u>"', "https://"),
        ('unsubscribe_url = "https://me@u.example/u"', "https://HOST/PATH"),
        ('feedback_id = "abc"', "5 to 15"),
        ('feedback_id = "a:b:c:d"', "5 to 15"),
        ('postmaster_msgtype = "two words"', "a label has"),
    ],
)
def test_nonsense_is_an_error_with_its_line(line: str, message: str) -> None:
    problems = load_policies({"tenants.toml": f"[tenant.shop.feedback]\n{line}\n"})
    assert isinstance(problems, list)
    assert len(problems) == 1
    assert str(problems[0]).startswith("policies/tenants.toml:2: ")
    assert message in str(problems[0])
