"""``penstock explain``: the answer in one sentence, and what it rests on."""

from __future__ import annotations

import json
import pathlib
import re
import time
from typing import Any

import pytest

from penstock.cli_explain import ADVICE, sentence
from penstock.mail.waits import Wait

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOW = 1.7e9
BINDS = {"scope": "tenant shop", "field": "message_rate", "value": "60/min"} | {
    "where": "policies/tenants.toml:12",
    "until": NOW + 3,
}


def cap(scope: str, field: str, value: str, where: str, **more: Any) -> dict[str, Any]:
    found = {"scope": scope, "field": field, "value": value, "where": where, "key": scope + field}
    return {**found, "used": None, "free": None, "binds": False, **more}


def explanation(**more: Any) -> dict[str, Any]:
    """One that waits for the rate of its tenant."""
    queue = {"domain": "gmail.com", "tenant": "shop", "campaign": "spring"}
    return {
        "id": "3b0b7b200b",
        "recipient": "ann@gmail.com",
        "sender": "news@shop.example",
        "state": "waiting",
        "reason": "message-rate",
        "reason_text": "waits until the message rate lets another message go",
        "binds": BINDS,
        "next_attempt": time.time() + 3,
        "next_attempt_text": "",
        "queue": {**queue, "class": "bulk", "pool": "main"},
        "class_where": "policies/tenants.toml:9",
        "pool_where": "policies/tenants.toml:3",
        "source": "s1",
        "provider": "gmail",
        "site": "gmail-smtp-in.l.google.com",
        "position": 41,
        "attempts": 1,
        "due": 0.0,
        "expires": time.time() + 4 * 86_400 + 3600,
        "accepted_at": time.time() - 3725,
        "last_replies": [
            {"at": time.time() - 65, "reply": "421 [red]slow[/red]\x1b[2J", "host": "mx1.example"}
        ],
        "caps": [
            cap("site mx", "connections", "10", "policies/gmail.toml:4", used=7, free=3),
            cap("source s1", "byte_rate", "5 MiB/s", "policies/sources.toml:2"),
            cap("tenant shop", "message_rate", "60/min", BINDS["where"], binds=True)
            | {"used": 1.0, "free": 0.0},
        ],
        "rules": [
            {"id": "r2", "verb": "reroute", "selector": {"tenant": "shop"}, "since": NOW}
            | {"until": 0.0, "who": "bob", "reason": "warm-up", "args": {"pool": "main"}}
        ],
        "worker": 1,
        **more,
    }


def answer(*found: dict[str, Any], more: int = 0, away: tuple[int, ...] = ()) -> dict[str, Any]:
    return {"explanations": list(found), "more": more, "away": list(away)}


def line(out: str, *words: str) -> str:
    """The only line with all these words in it."""
    [found] = [one for one in out.splitlines() if all(word in one for word in words)]
    return found


def test_the_first_line_is_the_answer(penstock, daemon):
    daemon.answers["explain"] = answer(explanation())
    result = penstock("explain", "3b0b7b200b")
    assert result.exit_code == 0
    assert daemon.asked == [("explain", {"target": "3b0b7b200b"})]
    assert re.fullmatch(
        r"waits: message rate of tenant shop, 60/min, set in policies/tenants\.toml:12; "
        r"next attempt in about [23] s",
        result.stdout.splitlines()[0].rstrip(),
    )


def test_all_that_it_rests_on_follows(penstock, daemon):
    daemon.answers["explain"] = answer(explanation())
    out = penstock("explain", "3b0b7b200b").stdout
    assert line(out, "what to do:").endswith(ADVICE["message-rate"])
    assert line(out, "state").split() == ["state", "waiting", "(message-rate)"]
    assert line(out, "class").split() == ["class", "bulk", "(policies/tenants.toml:9)"]
    assert line(out, "pool", "main (").split() == ["pool", "main", "(policies/tenants.toml:3)"]
    assert line(out, "ahead of it").split()[-1] == "41"
    assert line(out, "accepted").split(maxsplit=1)[1].strip() == "1h02m ago"
    assert "in 4d0" in line(out, "expires")
    assert "limits on the way of gmail.com/shop/spring from s1:" in out
    assert line(out, "site mx").split() == [
        *("site", "mx", "connections", "10", "7,", "3", "free", "policies/gmail.toml:4")
    ]
    assert " - " in line(out, "byte rate", "5 MiB/s")  # nobody knows its use
    assert line(out, "tenant shop", "1, 0 free").startswith("-> ")
    assert out.count("-> ") == 2  # the one limit, and what the arrow means
    assert "1m05s ago  mx1.example  421 [red]slow[/red]\\u001b[2J" in out
    assert "\x1b" not in out
    assert "  r2  reroute to main, until cancelled, by bob: warm-up" in out


def test_for_programs(penstock, daemon):
    raw = answer(explanation(expires=1.0, accepted_at=2.0, next_attempt=3.0, last_replies=[]))
    daemon.answers["explain"] = raw
    assert json.loads(penstock("explain", "x@y.example", "--json").stdout) == raw


def test_what_is_not_there(penstock, daemon):
    daemon.answers["explain"] = ("not-found", "nothing of zz is queued: it was delivered, bounced,")
    result = penstock("explain", "zz")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("penstock: nothing of zz is queued")


def test_several_have_a_line_each_and_share_their_limits(penstock, daemon):
    others = [cap("site mx2", "connections", "3", "policies/default.toml:2")]
    daemon.answers["explain"] = answer(
        explanation(id="m1"),
        explanation(id="m2", state="scheduled", reason="retry", binds=None)
        | {
            "reason_text": "was deferred and waits for its next attempt",
            "next_attempt_text": "soon",
        },
        explanation(id="m3", caps=others, queue={"domain": "b.example"}),
        more=980,
        away=(2,),
    )
    out = penstock("explain", "gmail.com").stdout
    assert "message rate of tenant shop" in line(out, "m1")
    assert "was deferred and waits for its next attempt; next attempt soon" in line(out, "m2")
    assert "and 980 more" in out
    assert out.count("limits on the way of gmail.com/shop/spring from s1") == 1
    assert out.count("limits on the way of b.example from s1") == 1
    assert out.count("r2  reroute to main") == 1
    assert "worker 2 could not be asked" in out


def test_an_order_is_named_with_who_gave_it(penstock, daemon):
    order = {"scope": "order s1", "field": "suspend", "value": "provider=gmail", "until": 0.0}
    one = explanation(reason="suspended", next_attempt=0.0, caps=[])
    one |= {"reason_text": "is held back by an operator"}
    daemon.answers["explain"] = answer(one | {"binds": {**order, "where": "ann: blocked"}})
    first = penstock("explain", "3b0b7b200b").stdout.splitlines()[0].rstrip()
    assert first == "is held back by an operator: order s1, provider=gmail, by ann: blocked"


def test_values_that_nobody_counts_are_shown_without_a_use(penstock, daemon):
    caps = [cap("", "max_age_s", "3600", "policies/default.toml:9", key="")]
    daemon.answers["explain"] = answer(explanation(caps=caps))
    shown = line(penstock("explain", "3b0b7b200b").stdout, "max age")
    assert shown.split() == ["max", "age", "3600", "s", "policies/default.toml:9"]


def test_a_queue_says_how_much_stands_behind_its_first(penstock, daemon):
    found = [explanation(id="m1", queued=4711), explanation(id="m2", queued=3)]
    daemon.answers["explain"] = answer(*found)
    assert line(penstock("explain", "gmail.com").stdout, "m1").split()[3] == "4711"


REASONS = [
    ("in-flight", "is being delivered at this moment"),
    ("turn", "waits for its turn; the connections of its site are busy"),
    ("reading", "is being read from disk, to be sent next"),
    ("scheduled", "is not to be sent before the time that its sender gave"),
    ("window", "waits for its sending window to open"),
    ("retry", "was deferred and waits for its next attempt"),
    ("resolving", "waits for the answer of the name servers"),
    ("dns-failed", "waits until the name servers are asked again"),
    ("suspended", "is held back by an operator"),
    ("bouncing", "is being given up by order of an operator"),
    ("source-down", "waits for a source; none that its pool may use can be used now"),
    ("connecting", "waits for a connection that is being opened"),
    ("connection-limit", "waits for a connection; as many as allowed are open"),
    ("connection-rate", "waits until another connection may be opened"),
    ("message-rate", "waits until the message rate lets another message go"),
    ("byte-rate", "waits until the byte rate lets another message go"),
    ("pace", "waits until the pace that was found for its provider lets it go"),
    ("paused", "waits; nothing goes to its provider from its source for a while, by its replies"),
    ("warm-up", "waits until the warm-up of its source lets more go"),
    ("unreachable", "waits until its site is tried again; it could not be reached"),
    ("worker-connections", "waits for a connection; this worker has all that it may have"),
    ("reporting", "has failed, and the report to its sender is on its way to the disk"),
    ("stopping", "stays in the queue; the daemon is stopping"),
]


@pytest.mark.parametrize(("reason", "text"), REASONS)
def test_every_reason_reads_as_a_sentence(reason, text, penstock, daemon):
    state = "in-flight" if reason == "in-flight" else "waiting"
    field = reason.replace("-", "_").replace("connection_limit", "connections")
    limits = ("connections", "connection_rate", "message_rate", "byte_rate")
    binds = {**BINDS, "field": field} if field in limits else None
    one = explanation(state=state, reason=reason, reason_text=text, binds=binds, caps=[])
    daemon.answers["explain"] = answer(one | {"next_attempt": time.time() + 3600})
    out = penstock("explain", "3b0b7b200b").stdout
    first = out.splitlines()[0].rstrip()
    said = f"waits: {field.replace('_', ' ')} of tenant shop, 60/min, set in {BINDS['where']}"
    assert first.startswith(said if binds else text)
    assert ("; next attempt in about " in first) == (state != "in-flight")
    assert (f"what to do: {ADVICE[reason]}" in out) == bool(ADVICE[reason])


def test_the_reasons_are_those_of_the_table_in_the_docs():
    page = (ROOT / "docs" / "deliverability.md").read_text()
    table = page.partition("| why |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == set(ADVICE)
    assert {reason for reason, _ in REASONS} == set(ADVICE)


def test_the_reasons_are_those_of_the_workers():
    assert {wait.value for wait in Wait} == set(ADVICE)


def test_the_pace_says_why_and_not_where(penstock, daemon):
    binds = {"scope": "pace of gmail", "field": "message_rate", "value": "54/min"}
    binds |= {"where": "throttled 12 of 212 at 19:22 UTC", "until": 0}
    daemon.answers["explain"] = answer(explanation(state="waiting", reason="pace", binds=binds))
    first = penstock("explain", "3b0b7b200b").stdout.splitlines()[0]
    said = "waits for the pace of gmail, rate 54/min: throttled 12 of 212 at 19:22 UTC"
    assert first.startswith(said)


@pytest.mark.parametrize(
    ("use", "said"),
    [
        ({"used": 5_242_880, "free": -1_000_000}, "5,242,880, 1,000,000 owed"),
        ({"used": 10, "free": 0, "waiting": 3}, "10, 0 free, 3 workers wait"),
        ({"used": 2}, "2 policies"),
    ],
)
def test_use_in_words(use, said, penstock, daemon):
    limit = cap("site mx", "connections", "10", "policies/gmail.toml:4", **use)
    daemon.answers["explain"] = answer(explanation(caps=[limit]))
    out = penstock("explain", "3b0b7b200b").stdout
    assert said in re.sub(r"\s+", " ", line(out, "site mx"))


NEXT = [
    (0.2, "at any moment"),
    (3.1, "in about 3 s"),
    (119.4, "in about 119 s"),
    (3725.0, "in about 1h02m"),
    (-5, "at any moment"),
]


@pytest.mark.parametrize(("seconds", "said"), NEXT)
def test_the_next_attempt_in_words(seconds, said):
    assert sentence(explanation(next_attempt=NOW + seconds), NOW).endswith(f"next attempt {said}")


def test_a_next_attempt_that_nobody_knows_is_not_made_up():
    assert "next attempt" not in sentence(explanation(next_attempt=0), NOW)


def test_what_is_suppressed_will_not_be_sent():
    entry = {"reason": "complaint", "since": "2026-01-31T00:00:00Z", "until": "", "tenant": "shop"}
    said = sentence(explanation(suppressed=entry, next_attempt=NOW + 60), NOW)
    assert said.endswith(
        "; then it is given up, since the address is suppressed: "
        "complaint since 2026-01-31T00:00:00Z, by shop"
    )
