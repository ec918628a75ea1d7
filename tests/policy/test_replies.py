"""What is wrong in a file of reply rules is said with its line, and all of it at once."""

from __future__ import annotations

from collections.abc import Callable

from penstock.mail.outcome import Phase
from penstock.mail.verdict import Category, Fault
from penstock.policy.patterns import compiled, risk
from penstock.policy.policies import Policies
from penstock.policy.rate import Rate

Load = Callable[[dict[str, str]], Policies]
Problems = Callable[[dict[str, str]], list[str]]
RULE = """\
provider = "gmail"
[[rule]]
name = "rate-ip"
category = "throttled"
fault = "remote"
match = 'Unusual Rate'
code = "4xx"
status = "*.7.28"
phase = ["rcpt", "final"]
key = "ip"
threshold = "3/h"
action = "slow"
to = "10/min"
for = "30min"
matches = ["421 4.7.28 unusual rate"]
not = ["550 5.7.28 unusual rate"]
"""


def test_a_rule_with_everything(load: Load) -> None:
    rules = load({"replies/gmail.toml": RULE}).replies
    (rule,) = rules.of("gmail")
    assert rules.by_name == {"gmail/rate-ip": rule}
    assert (len(rules), rules.of("yahoo"), rules.generic) == (1, (), ())
    assert (rule.category, rule.fault) == (Category.THROTTLED, Fault.REMOTE)
    assert rule.pattern == compiled("unusual rate")
    assert (rule.code, rule.status) == ("4xx", "*.7.28")
    assert rule.phases == {Phase.RCPT, Phase.FINAL}
    assert (rule.key, rule.action) == ("ip", "slow")
    assert rule.threshold == Rate.parse("3/h")
    assert rule.to == Rate.parse("10/min")
    assert (rule.for_s, rule.for_max_s) == (1800.0, 16 * 1800.0)
    assert str(rule.at) == "policies/replies/gmail.toml:2"
    assert str(rule.matches[0].at) == "policies/replies/gmail.toml:15"


def test_lasting_actions_last_even_where_nothing_is_said(load: Load) -> None:
    text = RULE.replace('for = "30min"\n', "")
    (rule,) = load({"replies/gmail.toml": text}).replies
    assert (rule.for_s, rule.for_max_s) == (1800.0, 16 * 1800.0)
    plain = text.replace('action = "slow"\nto = "10/min"\n', "").replace('threshold = "3/h"\n', "")
    (rule,) = load({"replies/gmail.toml": plain}).replies
    assert (rule.for_s, rule.for_max_s, rule.action) == (0.0, 0.0, "")


def test_rules_for_everybody_are_called_generic(load: Load) -> None:
    rules = load({"replies/generic.toml": RULE.replace("gmail", "any")}).replies
    assert [rule.full_name for rule in rules.generic] == ["generic/rate-ip"]
    assert rules.of("any") == ()


def test_what_is_wrong(problems: Problems) -> None:
    def told(old: str, new: str) -> list[str]:
        lines = problems({"replies/gmail.toml": RULE.replace(old, new)})
        return [line.removeprefix("policies/replies/gmail.toml") for line in lines]

    assert told("category =", "categry =") == [
        ':4: rule[0].categry: unknown key; did you mean "category"?'
    ]
    assert told('"throttled"', '"throtled"') == [
        ":4: rule[0].category: not a category: 'throtled'; did you mean \"throttled\"?"
    ]
    assert told('["rcpt", "final"]', '["rcpt", "fnal"]') == [
        ":9: rule[0].phase[1]: not a phase: 'fnal'; did you mean \"final\"?"
    ]
    assert told('"slow"', '"slwo"')[0].startswith(":12: rule[0].action: not an action: 'slwo'")
    assert told('"4xx"', '"3xx"') == [
        ':7: rule[0].code: expected a code like "421", "4xx" or "5xx", not \'3xx\''
    ]
    assert told('"*.7.28"', '"7.28"')[0].startswith(":8: rule[0].status: expected an enhanced code")
    assert told('"3/h"', '"3"')[0].startswith(":11: rule[0].threshold: not a rate: '3'")
    assert told('matches = ["421 4.7.28 unusual rate"]\n', "") == [
        ':2: rule[0]: the key "matches" is missing'
    ]
    assert told('["421 4.7.28 unusual rate"]', "[]") == [":15: rule[0].matches: must not be empty"]


def test_expressions_that_cannot_be_meant(problems: Problems) -> None:
    def told(expression: str) -> str:
        text = RULE.replace("Unusual Rate", expression)
        (line,) = problems({"replies/gmail.toml": text})
        return line.removeprefix("policies/replies/gmail.toml:6: rule[0].match: ")

    assert told("[[a]b]") == "not a regular expression: Possible nested set at position 1"
    assert told("(a") == (
        "not a regular expression: missing ), unterminated subpattern at position 0"
    )
    assert told("a*") == "it matches every reply, even an empty one"
    assert told("(?:a+b?)+c").startswith("a repeat within a repeat")
    assert told("a.*b.*c.*d").startswith("too many open repeats")


def test_bounded_expressions_are_no_risk() -> None:
    for fine in (
        "a.{0,60}b.{0,60}c",
        "a.*b",
        r"user\s+unknown",
        "(?:a|b|c{2}).{0,9}",
        r"(?:\w:)?x+",
    ):
        assert risk(fine) == "", fine


def test_what_contradicts(problems: Problems) -> None:
    def told(old: str, new: str) -> list[str]:
        lines = problems({"replies/gmail.toml": RULE.replace(old, new)})
        return [line.removeprefix("policies/replies/gmail.toml") for line in lines]

    bare = 'match = \'Unusual Rate\'\ncode = "4xx"\nstatus = "*.7.28"\n'
    assert told(bare, "") == [":2: rule[0]: nothing tells the reply; match or status is needed"]
    assert told('to = "10/min"\n', "") == [
        ":12: rule[0].action: slow to what? the key to is missing"
    ]
    assert told('"slow"', '"suspend"') == [':13: rule[0].to: this is for action = "slow" only']
    assert told('action = "slow"\nto = "10/min"', 'action = "retry"')[:1] == [
        ":11: rule[0].threshold: nothing waits for it: bounce and retry are for each reply"
    ]
    assert told('for = "30min"', 'for = "30min"\nfor_max = "1min"') == [
        ":15: rule[0].for_max: this is shorter than for"
    ]


def test_names_are_said_once(problems: Problems) -> None:
    again = RULE + RULE.partition("\n")[2]
    assert problems({"replies/gmail.toml": again}) == [
        (
            'policies/replies/gmail.toml:18: rule[1].name: there is a rule "rate-ip" in '
            "policies/replies/gmail.toml:3 already"
        )
    ]
    assert problems({"replies/a.toml": RULE, "replies/b.toml": RULE}) == [
        (
            'policies/replies/b.toml:1: provider: the provider "gmail" is claimed by '
            "policies/replies/a.toml:1 too; only one may have it"
        )
    ]
