"""Rules held to their own samples: what each must match, must not match, and takes from another.

A rule whose sample another rule decides is wrong, whoever is to blame. One whose bare wording is
always decided by rules before it is suspicious: it can only speak where more is said around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from penstock.feedback.classify import Classifier
from penstock.feedback.normalise import Normal, of_text
from penstock.mail.outcome import Phase
from penstock.policy.patterns import parsed
from penstock.policy.problem import Problem, quoted
from penstock.policy.replies import ANY, ReplyRule, ReplyRules

WORDINGS_MAX = 8
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


def problems(rules: ReplyRules) -> list[Problem]:
    """Every sample that its rule does not decide, or should not."""
    classifier = Classifier(rules)
    return [problem for rule in rules for problem in _of(rule, classifier)]


def warnings(rules: ReplyRules) -> list[Problem]:
    """Rules that stand in the shadow of others."""
    classifier = Classifier(rules)
    return [problem for rule in rules if (problem := _shadow(rule, classifier)) is not None]


def _of(rule: ReplyRule, classifier: Classifier) -> Iterator[Problem]:
    own, phase = _asked(rule)
    for sample in rule.matches:
        decided = classifier.read(own, of_text(sample.reply), phase).rule
        if decided == rule.full_name:
            continue
        said = f"the sample {quoted(sample.reply)} is decided by"
        if decided:
            first = classifier.rules.by_name[decided]
            hint = f"move this rule before {first.at}, or make that one narrower"
            yield Problem(sample.at.file, sample.at.line, (), f"{said} {decided}", hint)
        else:
            hint = "the text is searched in lower case, without codes, on one line"
            yield Problem(sample.at.file, sample.at.line, (), f"{said} no rule", hint)
    for sample in rule.not_matches:
        if classifier.read(own, of_text(sample.reply), phase).rule == rule.full_name:
            message = f"{rule.name} matches {quoted(sample.reply)}, which it must not"
            yield Problem(sample.at.file, sample.at.line, (), message)


def _asked(rule: ReplyRule) -> tuple[str, Phase | None]:
    """As whose a sample is read, and when it came: where a rule asks for a phase, then."""
    phase = min(rule.phases, key=lambda one: one.value) if rule.phases else None
    return ("" if rule.provider == ANY else rule.provider), phase


def _shadow(rule: ReplyRule, classifier: Classifier) -> Problem | None:
    if rule.pattern is None or not rule.matches:
        return None
    own, phase = _asked(rule)
    head = of_text(rule.matches[0].reply)
    first = ""
    for wording in wordings(rule.pattern):
        if rule.pattern.search(wording) is None:
            return None  # cannot be told from the expression alone
        found = classifier.read(own, Normal(head.code, head.status, wording), phase)
        if found.rule in ("", rule.full_name):
            return None
        first = first or found.rule
    if not first:
        return None
    at = classifier.rules.by_name[first].at
    message = f"{rule.name} is in the shadow of {first}, which stands before it"
    return Problem(rule.at.file, rule.at.line, (), message, f"see {at}")


def wordings(pattern: re.Pattern[str]) -> list[str]:
    """The shortest texts that ``pattern`` matches, one for each way through its alternatives; not
    more than a few."""
    found = _ways(parsed(pattern))
    return [" ".join(text.split()) for text in found]


def _ways(tree: list[tuple[str, Any]]) -> list[str]:
    texts = [""]
    for op, argument in tree:
        more = _more(op, argument)
        texts = [text + end for text in texts for end in more][:WORDINGS_MAX]
    return texts


def _more(op: str, argument: Any) -> list[str]:
    if op == "LITERAL":
        return [chr(argument)]
    if op == "SUBPATTERN":
        return _ways(_named(argument[3]))
    if op == "BRANCH":
        return [text for branch in argument[1] for text in _ways(_named(branch))][:WORDINGS_MAX]
    if op in _REPEATS:
        low, _, inner = argument
        return [text * int(low) for text in _ways(_named(inner))] if low else [""]
    if op == "IN":
        return [_one_of(argument)]
    if op in ("ANY", "NOT_LITERAL"):
        return ["x"]
    return [""]  # a place, or what stands around


def _one_of(argument: Any) -> str:
    kind, value = str(argument[0][0]), argument[0][1]
    if kind == "LITERAL":
        return chr(value)
    if kind == "RANGE":
        return chr(value[0])
    return {"CATEGORY_DIGIT": "0", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "x"}.get(str(value), "-")


def _named(tree: Any) -> list[tuple[str, Any]]:
    return [(str(op), argument) for op, argument in tree]
