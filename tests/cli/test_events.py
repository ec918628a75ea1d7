"""``penstock events`` reads the logs of a spool, with or without a daemon."""

import json

import pytest
from tests.events.journals import EPOCH, Clock, journal

from penstock.cli_common import CommandError
from penstock.cli_events import Follower, moment, show
from penstock.events.records import Accepted, Admin, Bounced, Deferred, Delivered, Rejected
from penstock.events.telling import Wanted, told

BOB = "bob@example.com"


@pytest.fixture
def spool(tmp_path):
    """Two workers' logs and the supervisor's, their events in turns, a minute apart."""
    clock = Clock()
    logs = [journal(tmp_path / "events" / name, clock) for name in ("00", "01", "supervisor")]
    message = {"message": "4", "tenant": "shop", "campaign": "may"}
    delivery = {
        "recipient": BOB,
        "code": 250,
        "reply": "2.0.0 ok",
        "mx": "mx.example",
        "attempt": 1,
    }
    steps = [
        (0, Accepted, {**message, "sender": "a@x.example", "recipients": (BOB,), "size": 100}),
        (2, Admin, {"action": "queue.suspend", "who": "ann", "selector": {"tenant": "news"}}),
        (0, Deferred, {**message, **delivery, "code": 451, "retry_at": "2027-01-15T08:10:00.000Z"}),
        (1, Rejected, {"client": "::1", "phase": "mail", "code": 550, "reply": "5.7.1 no\x1b[2J"}),
        (0, Delivered, {**message, **delivery}),
        (1, Bounced, {**delivery, "message": "5", "tenant": "news", "category": "bad-mailbox"}),
    ]
    for number, make, fields in steps:
        logs[number].write(make, **fields)
        clock.now += 60
    for log in logs:
        log.close()
    return tmp_path


def shown(spool, since=0.0, as_json=False, **wanted):
    lines = []
    show(Follower(str(spool), since), Wanted(**wanted), lines.append, since=since, as_json=as_json)
    return lines


def kinds(lines):
    return [line.split()[1] for line in lines]


def test_all_logs_are_merged_by_time(spool):
    order = ["accepted", "admin", "deferred", "rejected", "delivered", "bounced"]
    assert kinds(shown(spool)) == order
    assert [json.loads(line)["type"] for line in shown(spool, as_json=True)] == order


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"message": "4"}, ["accepted", "deferred", "delivered"]),
        ({"tenant": "news"}, ["bounced"]),
        ({"campaign": "may", "type": "delivered"}, ["delivered"]),
        ({"recipient": "BOB@example.com"}, ["accepted", "deferred", "delivered", "bounced"]),
        ({"until": EPOCH + 100}, ["accepted", "admin"]),
        ({"since": EPOCH + 200, "tenant": "shop"}, ["delivered"]),
        ({"recipient": "nobody@example.com"}, []),
    ],
)
def test_what_is_asked_for_is_shown(spool, wanted, found):
    assert kinds(shown(spool, **wanted)) == found


def test_a_line_for_people(spool):
    lines = shown(spool)
    assert lines[2] == (
        "2027-01-15T08:02:00.000Z deferred     4 -> bob@example.com mx.example: 451 2.0.0 ok "
        "(attempt 1, again at 2027-01-15T08:10:00.000Z) [shop/may]"
    )
    assert "\x1b" not in "".join(lines)
    assert "queue.suspend tenant=news by ann" in lines[1]


def test_following_goes_on_with_what_comes(spool):
    follower, wanted, lines = Follower(str(spool), None), Wanted(), []
    assert show(follower, wanted, lines.append, since=0.0, as_json=False)
    assert lines == []
    clock = Clock()
    clock.now += 1000
    for name in ("00", "02"):
        log = journal(spool / "events" / name, clock)
        log.write(Admin, action=name)
        log.close()
    follower.look()
    assert show(follower, wanted, lines.append, since=0.0, as_json=False)
    assert len(lines) == 2


def test_times_are_ago_or_given():
    assert moment("2h", EPOCH) == EPOCH - 7200
    assert moment("2027-01-15T08:00:00Z", 0.0) == EPOCH
    assert moment("", EPOCH) == 0.0
    with pytest.raises(CommandError, match="how long ago"):
        moment("yesterday", EPOCH)


def test_any_type_can_be_told():
    assert "x=1" in told({"type": "new", "at": "t", "x": 1})
