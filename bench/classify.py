"""Reading replies: microseconds from a reply to its verdict, with all shipped rules loaded.

Each provider's own samples are read as its replies, each with a number and an id that no other has,
so that nothing is the same text twice, and so is prose that no rule knows. Beside it stands
what the plain way costs: every rule of the provider and every generic one, tried one by one.
Prints a table and, as the last line, JSON. CPU time of one process, best of several rounds.

    python -m bench.classify [--policies DIR] [--seconds 1.0]
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import sys
import time
from collections.abc import Callable, Sequence

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "engine"))

from penstock.feedback.classify import Classifier
from penstock.feedback.normalise import of_reply
from penstock.policy.policies import Policies
from penstock.policy.replies import ANY, ReplyRules
from penstock.settings.loader import load_policy_directory
from penstock.smtp.reply import Reply

ROUNDS = 5
VARIANTS = 8
TARGET_US = 10.0
UNKNOWN = (
    "550 5.7.1 The service declined what was handed over, see ticket 4711 for what comes next",
    "451 4.3.0 Come again when the moon is full and the tide is low, said the server 42 times",
    "554 Nothing of the sort will be taken here today or on any other day of the year 2026",
)
Work = tuple[str, Reply]


def reply_of(text: str) -> Reply:
    """A sample as the client's parser gives it."""
    found = re.match(r"\s*([2-5]\d\d)[ -]?", text)
    return Reply.of(int(found[1]), text[found.end() :]) if found else Reply.of(550, text)


def variants(texts: Sequence[tuple[str, str]]) -> list[Work]:
    """Each text again and again, the numbers in it different each time."""
    work = []
    for number in range(VARIANTS):
        for place, (provider, text) in enumerate(texts):
            own = number * len(texts) + place
            text = f"{text} (id {own * 7919:x}.{provider} for 192.0.2.{own % 250})"
            work.append((provider, reply_of(text)))
    return work


def cpu_us(read: Callable[[str, Reply], object], work: list[Work], seconds: float) -> float:
    """CPU microseconds of one reply: the best of several rounds."""
    for provider, reply in work:
        read(provider, reply)
    best = float("inf")
    for _ in range(ROUNDS):
        done, start, spent = 0, time.process_time(), 0.0
        while spent < seconds / ROUNDS:
            for provider, reply in work:
                read(provider, reply)
            done += len(work)
            spent = time.process_time() - start
        best = min(best, spent / done)
    return best * 1e6


def one_by_one(rules: ReplyRules) -> Callable[[str, Reply], object]:
    """A loop over the expressions."""

    def read(provider: str, reply: Reply) -> object:
        text = of_reply(reply).text
        for rule in (*rules.of(provider), *rules.generic):
            if rule.pattern is not None and rule.pattern.search(text):
                return rule
        return None

    return read


def main() -> int:
    """The exit code says whether a reply takes more than the target."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--policies", default="policies", metavar="DIR")
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU time for each figure")
    options = parser.parse_args()
    policies = load_policy_directory(options.policies)
    if not isinstance(policies, Policies):
        print("\n".join(map(str, policies)), file=sys.stderr)
        return 2
    rules = policies.replies
    if not len(rules):
        print("there are no rules to measure", file=sys.stderr)
        return 2
    known = [
        ("" if rule.provider == ANY else rule.provider, sample.reply)
        for rule in rules
        for sample in rule.matches
    ]
    strange = [(provider, text) for provider in rules.by_provider for text in UNKNOWN]
    start = time.process_time()
    classifier = Classifier(rules)
    for provider in rules.by_provider:
        classifier.classify(provider, Reply.of(550, "x"))
    compiled_ms = (time.process_time() - start) * 1e3
    results = {"compile_ms": round(compiled_ms, 1)}
    print(f"{len(rules)} rules for {len(rules.by_provider)} providers, compiled in", end=" ")
    print(f"{compiled_ms:.0f} ms; CPU microseconds a reply, normalising included")
    print(f"{'':24}{'one pass':>10}{'one by one':>12}")
    for label, texts in (("known", known), ("unknown", strange), ("all", known + strange)):
        work = variants(texts)
        ours = cpu_us(classifier.classify, work, options.seconds)
        plain = cpu_us(one_by_one(rules), work, options.seconds)
        results |= {f"{label}_us": round(ours, 2), f"{label}_one_by_one_us": round(plain, 2)}
        print(f"{label + ' replies':24}{ours:>10.1f}{plain:>12.1f}")
    print(json.dumps({"bench": "classify", "rules": len(rules), "results": results}))
    return int(max(results["known_us"], results["unknown_us"]) > TARGET_US)


if __name__ == "__main__":
    sys.exit(main())
