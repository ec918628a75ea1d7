"""The rules that are shipped: enough of them, held to their samples, general, and never slow."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.feedback.steps import Steps

from penstock.feedback import samples
from penstock.feedback.classify import Classifier
from penstock.feedback.normalise import of_text
from penstock.mail.verdict import SUPPRESSING, Category
from penstock.policy.patterns import risk
from penstock.policy.replies import ANY, ReplyRule, ReplyRules

POLICIES = Path(__file__).parents[2] / "policies"
FILES = sorted((POLICIES / "replies").glob("*.toml"))
RULES_MIN = 150
PROVIDERS_MIN = 18
HOSTILE_CHARS = 4096
STEPS_A_PLACE_MAX = 5_000  # a step is some ten nanoseconds in the engine of ``re``
LITERAL_CHARS_MAX = 50  # longer than any phrase; a sentence of somebody's is not a rule
LATER = re.compile("try (?:it )?again|later|temporar|come back")


def hostile(rule: ReplyRule) -> Iterator[str]:
    """Texts that come close to a match again and again, and never end as one."""
    assert rule.pattern is not None
    for wording in samples.wordings(rule.pattern):
        stem = wording[:-1] or "x"
        yield (stem + " ") * (HOSTILE_CHARS // (len(stem) + 1))
        first = stem.split(" ")[0]
        yield (first + " ") * (HOSTILE_CHARS // (len(first) + 1))
    yield "a" * HOSTILE_CHARS
    yield "0." * (HOSTILE_CHARS // 2)


def test_there_are_enough(shipped_rules: ReplyRules) -> None:
    assert len(shipped_rules) >= RULES_MIN
    assert len(set(shipped_rules.by_provider) - {ANY}) >= PROVIDERS_MIN


def test_every_provider_of_the_policies_has_some(shipped_rules: ReplyRules) -> None:
    providers = {path.stem for path in (POLICIES / "providers").glob("*.toml")}
    assert providers <= set(shipped_rules.by_provider)


def test_every_file_is_named_as_its_provider_and_says_where_the_wording_comes_from() -> None:
    for path in FILES:
        text = path.read_text("utf-8")
        provider = re.search(r'^provider = "(.+)"$', text, re.MULTILINE)
        assert provider, path
        assert path.stem == ("generic" if provider[1] == ANY else provider[1])
        head = text[: provider.start()]
        assert "# Where the wording comes from: " in head, path


def test_every_sample_is_decided_by_its_own_rule(shipped_rules: ReplyRules) -> None:
    assert [str(one) for one in samples.problems(shipped_rules)] == []


def test_no_rule_stands_in_the_shadow_of_another(shipped_rules: ReplyRules) -> None:
    assert [str(one) for one in samples.warnings(shipped_rules)] == []


def test_every_category_that_a_reply_can_have_is_known(shipped_rules: ReplyRules) -> None:
    # a vacation, a complaint and a success are messages, not replies
    never = {Category.AUTO_REPLY, Category.COMPLAINT, Category.DELIVERED, Category.UNKNOWN}
    assert {rule.category for rule in shipped_rules.generic} == set(Category) - never


def test_no_rule_quotes_a_sample(shipped_rules: ReplyRules) -> None:
    for rule in shipped_rules:
        if rule.pattern is None:
            continue
        source = rule.pattern.pattern
        longest = max(map(len, re.findall(r"[^\\()\[\]{}|?*+.^$]+", source)))
        assert longest <= LITERAL_CHARS_MAX, rule.full_name
        for sample in rule.matches:
            text = of_text(sample.reply).text
            assert source != re.escape(text), rule.full_name
            if len(text) > LITERAL_CHARS_MAX:
                assert not rule.pattern.fullmatch(text), rule.full_name


def test_a_rule_that_slows_or_suspends_says_for_how_long(shipped_rules: ReplyRules) -> None:
    for rule in shipped_rules:
        if rule.action in ("slow", "fewer-connections", "suspend"):
            assert 60 <= rule.for_s <= rule.for_max_s, rule.full_name
        if rule.action.startswith(("slow", "fewer", "suspend")):
            assert rule.category not in SUPPRESSING, rule.full_name


def test_the_pace_is_left_to_the_controller(shipped_rules: ReplyRules) -> None:
    """A guess would hold a source back for its whole time, whatever the provider takes by then."""
    for rule in shipped_rules:
        assert rule.action != "slow", rule.full_name
        if rule.action == "fewer-connections":
            assert rule.category is Category.THROTTLED, rule.full_name


def test_what_names_the_recipient_slows_no_provider(shipped_rules: ReplyRules) -> None:
    for rule in shipped_rules:
        if rule.category is Category.RECIPIENT_RATE:
            assert rule.key == "recipient", rule.full_name
            assert rule.action in ("", "retry"), rule.full_name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_reply_holds_a_rule_up(path: Path, shipped_rules: ReplyRules) -> None:
    provider = ANY if path.stem == "generic" else path.stem
    for rule in shipped_rules.by_provider[provider]:
        if rule.pattern is None:
            continue
        assert risk(rule.pattern.pattern) == "", rule.full_name
        for text in set(hostile(rule)):
            # the text repeats itself: the places of its first words are those of all
            for place in range(0, 48, 8):
                steps = Steps(rule.pattern, text)
                steps.match(place)
                assert steps.taken <= STEPS_A_PLACE_MAX, (rule.full_name, text[:80], place)


def test_the_counter_finds_what_the_engine_finds(shipped_rules: ReplyRules) -> None:
    for rule in shipped_rules:
        if rule.pattern is None:
            continue
        for sample in rule.matches:
            text = of_text(sample.reply).text
            found = rule.pattern.search(text)
            ways = (at for at in range(len(text) + 1) if Steps(rule.pattern, text).match(at))
            assert next(ways, -1) == (found.start() if found else -1), rule.full_name


REPLIES_OF_OURS = (
    ("451 4.4.1 Connection failed: Connection refused", Category.NETWORK),
    ("451 4.4.1 Connection failed: timed out", Category.NETWORK),
    ("451 4.4.2 Timed out waiting for the reply: banner", Category.NETWORK),
    ("451 4.4.2 Connection lost: awaiting the reply to MAIL FROM", Category.NETWORK),
    ("451 4.4.2 Connection lost after the final dot; may have been delivered", Category.NETWORK),
    ("451 4.4.3 DNS look-up of MX for example.org failed: SERVFAIL", Category.NETWORK),
    ("451 4.4.4 No host of example.org has an IPv4 address", Category.NETWORK),
    ("451 4.4.7 Delivery time expired", Category.EXPIRED),
    ("451 4.7.4 TLS is required, not offered by host", Category.AUTH_FAILURE),
    ("451 4.7.5 TLS handshake failed: certificate has expired", Category.NETWORK),
    ("550 5.1.2 Domain not found: example.invalid", Category.BAD_DOMAIN),
    ("550 5.4.4 No MX record for example.invalid", Category.BAD_DOMAIN),
    ("552 5.3.4 Message of 9 bytes is more than the host takes: 8", Category.MESSAGE_TOO_LARGE),
    ("553 5.6.7 The host does not take internationalised addresses", Category.PROTOCOL),
    ("554 5.5.1 No valid recipients", Category.PROTOCOL),
    ("451 4.5.0 Protocol error: 220 what", Category.PROTOCOL),
    ("451 4.3.0 Local error while connecting", Category.SYSTEM),
)


@pytest.mark.parametrize(("reply", "category"), REPLIES_OF_OURS)
def test_what_this_program_says_itself(reply: str, category: Category, shipped: Classifier) -> None:
    assert shipped.read("gmail", of_text(reply)).category is category


NOT_THE_RECIPIENT = (
    "550 5.7.1 Unfortunately, messages from [192.0.2.25] weren't sent (S3140)",
    "550 5.1.0 <a@example.com>: Sender address rejected: User unknown in local recipient table",
    "553 5.1.7 The sender address <a> does not exist",
    "550 5.1.8 Sender domain example.com does not exist",
    "554 5.7.1 Mailbox unavailable, your IP is on our blacklist",
    "550 No longer accepting mail from your network, it is blocked",
    "550 5.1.1 Your host 192.0.2.25 is listed at zen.spamhaus.org",
    "552 5.2.2 The mailbox is over quota",
    "550 5.7.1 Message rejected as spam, see the account of it",
    "550 5.2.1 Mailbox unavailable, no mail from this sender is taken",
    "550 5.7.1 <mx.example.com>: Helo command rejected: Host not found",
    "550 5.7.1 Client host rejected: cannot find your hostname, [192.0.2.25]",
)


@pytest.mark.parametrize("reply", NOT_THE_RECIPIENT)
def test_a_good_address_is_not_suppressed(reply: str, shipped: Classifier) -> None:
    for provider in ("", "gmail", "microsoft", "yahoo", "mail.ru", "gmx"):
        assert not shipped.read(provider, of_text(reply)).suppress, provider


def test_nothing_that_is_tried_again_is_suppressed(
    shipped_rules: ReplyRules, shipped: Classifier
) -> None:
    seen: Counter[str] = Counter()
    for rule in shipped_rules:
        for sample in rule.matches:
            if not LATER.search(sample.reply.casefold()):
                continue
            provider = "" if rule.provider == ANY else rule.provider
            verdict = shipped.read(provider, of_text(sample.reply))
            seen[verdict.category.value] += 1
            assert not verdict.suppress, sample.reply
    assert seen
