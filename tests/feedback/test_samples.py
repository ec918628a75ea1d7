"""A rule is held to its samples, and one that stands in another's shadow is told of."""

from __future__ import annotations

from collections.abc import Callable

from penstock.feedback import samples
from penstock.policy.replies import ReplyRules

Rules = Callable[..., ReplyRules]
FULL = "name = 'full'\ncategory = 'mailbox-full'\nmatch = 'quota'\nmatches = ['452 over quota']"


def told(rules: ReplyRules) -> list[str]:
    return [str(problem) for problem in samples.problems(rules)]


def test_samples_that_are_met_are_silent(rules: Rules) -> None:
    found = rules(any=[FULL + "\nnot = ['550 unknown']"])
    assert told(found) == []
    assert samples.warnings(found) == []


def test_a_sample_that_no_rule_decides(rules: Rules) -> None:
    found = rules(any=[FULL.replace("over quota", "overfull")])
    assert told(found) == [
        (
            'policies/replies/any.toml:6: the sample "452 overfull" is decided by no rule; '
            "the text is searched in lower case, without codes, on one line"
        )
    ]


def test_a_sample_that_another_rule_takes(rules: Rules) -> None:
    other = FULL.replace("'full'", "'again'").replace("'quota'", "'over quota'")
    assert told(rules(any=[FULL, other])) == [
        (
            'policies/replies/any.toml:11: the sample "452 over quota" is decided by generic/full; '
            "move this rule before policies/replies/any.toml:2, or make that one narrower"
        )
    ]


def test_a_sample_that_must_not_match(rules: Rules) -> None:
    assert told(rules(any=[FULL + "\nnot = ['552 quota']"])) == [
        'policies/replies/any.toml:7: full matches "552 quota", which it must not'
    ]


def test_a_rule_in_the_shadow_of_another(rules: Rules) -> None:
    bare = FULL.replace("'full'", "'bare'").replace("'quota'", "'^quota|^over quota'")
    bare = bare.replace("452 over quota", "452 quota exceeded")
    later = FULL.replace("'full'", "'later'").replace("'quota'", "'(?:over )?quota'")
    later = later.replace("452 over quota", "452 you are over quota")
    found = rules(any=[bare, later])
    assert told(found) == []
    assert [str(one) for one in samples.warnings(found)] == [
        (
            "policies/replies/any.toml:7: later is in the shadow of generic/bare, which stands "
            "before it; see policies/replies/any.toml:2"
        )
    ]


def test_rules_for_other_phases_do_not_shadow(rules: Rules) -> None:
    one = FULL + "\nphase = ['rcpt']"
    other = FULL.replace("'full'", "'late'") + "\nphase = ['final']"
    found = rules(any=[one, other])
    assert told(found) == []
    assert samples.warnings(found) == []
