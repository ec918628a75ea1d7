"""Who decides about a reply, in which order, and that something always does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.feedback.classify import Classifier
from penstock.feedback.normalise import of_text
from penstock.mail.outcome import Phase
from penstock.mail.verdict import SUPPRESSING, Category, Fault, Verdict
from penstock.policy.replies import ReplyRules
from penstock.smtp.client_reply import reply_text
from penstock.smtp.reply import Reply

Rules = Callable[..., ReplyRules]
FULL = "category = 'mailbox-full'\nmatch = 'quota'"
UNKNOWN = "category = 'bad-mailbox'\nmatch = 'unknown'"
BLOCKED = "category = 'reputation-block'\nmatch = 'block ?list'"


def read(classifier: Classifier, provider: str, text: str, phase: Phase | None = None) -> Verdict:
    return classifier.read(provider, of_text(text), phase)


def test_the_order_of_decision(rules: Rules) -> None:
    by_status = "category = 'auth-failure'\nstatus = '*.7.26'"
    classifier = Classifier(
        rules(
            gmail=[FULL, "category = 'spam-content'\nstatus = '5.7.1'"],
            any=[UNKNOWN, FULL, by_status, "category = 'virus'\nstatus = '5.7.*'"],
        )
    )
    said = {
        "550 5.7.1 unknown user over quota": ("gmail/r0", Category.MAILBOX_FULL),
        "550 5.7.1 unknown user": ("generic/r0", Category.BAD_MAILBOX),
        "550 5.7.1 hm": ("gmail/r1", Category.SPAM_CONTENT),
        "550 5.7.26 hm": ("generic/r2", Category.AUTH_FAILURE),
        "550 5.7.2 hm": ("generic/r3", Category.VIRUS),
        "550 5.1.1 hm": ("", Category.BAD_MAILBOX),
        "550 hm": ("", Category.UNKNOWN),
        "450 hm": ("", Category.UNKNOWN),
    }
    for text, expected in said.items():
        verdict = read(classifier, "gmail", text)
        assert (verdict.rule, verdict.category) == expected, text
    assert read(classifier, "other", "550 over quota").rule == "generic/r1"
    assert read(classifier, "any", "550 over quota").rule == "generic/r1"


def test_the_first_in_its_file_wins_wherever_it_matches(rules: Rules) -> None:
    classifier = Classifier(rules(any=[FULL, UNKNOWN]))
    assert read(classifier, "", "550 unknown, over quota").category is Category.MAILBOX_FULL
    classifier = Classifier(rules(any=[UNKNOWN, FULL]))
    assert read(classifier, "", "550 over quota, unknown").category is Category.BAD_MAILBOX


@pytest.mark.parametrize(
    ("filters", "text", "phase", "fits"),
    [
        ("code = '421'", "421 quota", None, True),
        ("code = '421'", "450 quota", None, False),
        ("code = '4xx'", "450 quota", None, True),
        ("code = '4xx'", "550 quota", None, False),
        ("code = '4xx'", "quota", None, False),
        ("status = '4.7.28'", "421 4.7.28 quota", None, True),
        ("status = '4.7.28'", "421 4.7.2 quota", None, False),
        ("status = '*.7.28'", "550 5.7.28 quota", None, True),
        ("status = '5.7.*'", "550 quota", None, False),
        ("phase = ['rcpt', 'final']", "550 quota", Phase.FINAL, True),
        ("phase = ['rcpt', 'final']", "550 quota", Phase.MAIL, False),
        ("phase = ['rcpt', 'final']", "550 quota", None, True),
    ],
)
def test_filters(rules: Rules, filters: str, text: str, phase: Phase | None, fits: bool) -> None:
    classifier = Classifier(rules(any=[f"{FULL}\n{filters}"]))
    assert bool(read(classifier, "", text, phase).rule) is fits


def test_case_is_of_no_account_in_rule_and_reply(rules: Rules) -> None:
    upper = r"category = 'mailbox-full'" + "\n" + r"match = 'Over\s+Quota\S'"
    classifier = Classifier(rules(any=[upper]))
    assert read(classifier, "", "550 OVER  QUOTA!").rule
    assert not read(classifier, "", "550 over quota").rule


def test_whose_fault_it_is_can_be_said(rules: Rules) -> None:
    classifier = Classifier(rules(any=[f"{FULL}\nfault = 'remote'", BLOCKED]))
    assert read(classifier, "", "452 quota").fault is Fault.REMOTE
    assert read(classifier, "", "554 on our block list").fault is Fault.SENDER


def test_nobody_is_dead_who_may_be_tried_again(rules: Rules) -> None:
    retried = f"{UNKNOWN}\naction = 'retry'\nphase = ['final']"
    final = f"{UNKNOWN}\naction = 'bounce'\nphase = ['mail']"
    classifier = Classifier(rules(any=[retried, final, UNKNOWN]))
    assert read(classifier, "", "550 unknown", Phase.RCPT).suppress
    assert not read(classifier, "", "450 unknown", Phase.RCPT).suppress
    assert not read(classifier, "", "550 unknown", Phase.FINAL).suppress
    assert read(classifier, "", "450 unknown", Phase.MAIL).suppress
    assert read(classifier, "", "unknown", Phase.RCPT).suppress
    assert read(classifier, "", "550 5.1.1").suppress
    assert not read(classifier, "", "450 4.1.1").suppress


def test_what_was_decided_here_is_not_read_in_words(rules: Rules) -> None:
    classifier = Classifier(rules(any=["category = 'policy'\nmatch = 'timed out'"]))
    reply = Reply.of(451, "4.4.1 connection timed out")
    assert classifier.classify("", reply, Phase.CONNECT).category is Category.NETWORK
    assert classifier.classify("", reply, Phase.FINAL).category is Category.POLICY


def test_the_action_behind_a_verdict(rules: Rules) -> None:
    classifier = Classifier(rules(any=[f"{UNKNOWN}\naction = 'retry'", FULL]))
    assert classifier.action(read(classifier, "", "550 unknown")) == "retry"
    assert classifier.action(read(classifier, "", "550 quota")) == ""
    assert classifier.action(read(classifier, "", "550 hm")) == ""


def sane(verdict: Verdict) -> bool:
    return not verdict.suppress or verdict.category in SUPPRESSING


@given(st.sampled_from(["gmail", "yahoo", "", "nobody", "any"]), st.integers(0, 999), st.binary())
def test_any_bytes_get_a_verdict(shipped: Classifier, provider: str, code: int, raw: bytes) -> None:
    assert sane(shipped.classify(provider, Reply.of(code, reply_text(raw)), Phase.FINAL))
    assert sane(read(shipped, provider, raw.decode("latin-1")))
    assert sane(read(shipped, provider, f"{code} {reply_text(raw)}"))


@given(st.data())
def test_one_pass_says_what_a_loop_over_the_rules_says(
    shipped: Classifier, data: st.DataObject
) -> None:
    """Pieces of samples, put together at random: the gate must let every match through."""
    rules = shipped.rules
    samples = [sample.reply for rule in rules for sample in rule.matches]
    parts = st.lists(st.sampled_from(samples), min_size=1, max_size=3)
    cut = st.integers(0, 60)
    words = " ".join(one[data.draw(cut) :] for one in data.draw(parts))
    normal = of_text(f"{data.draw(st.sampled_from([421, 550]))} {words}")
    for provider in data.draw(st.sets(st.sampled_from(sorted(rules.by_provider)), max_size=3)):
        found = shipped.read(provider, normal).rule
        fitting = [
            rule.full_name
            for rule in (*rules.of(provider), *rules.generic)
            if rule.pattern is not None
            and rule.pattern.search(normal.text)
            and str(normal.code).startswith(rule.code.replace("xx", ""))
        ]
        if fitting and not rules.by_name[fitting[0]].status:
            assert found == fitting[0]
