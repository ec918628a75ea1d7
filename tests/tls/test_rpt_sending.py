"""When reports leave, to whom, and what happens where they are not taken."""

from __future__ import annotations

import email
import gzip
import itertools
import random
from email.policy import default

import pytest
from tests.tls.rfc8460 import check_report

from penstock.collector.tls_sending import TlsSending, TlsSendingConfig
from penstock.collector.tls_tables import Seen, add, open_database, policy_text
from penstock.mail.tls_report import DAY_S, Submitter
from penstock.mail.tlsrpt_record import Destination

DAY = 1_796_083_200
OVER = DAY + DAY_S
US = Submitter("Us", "tls@example.com", "tls-reports@example.com", "mx.example.com")
MAIL = Destination("mailto", "reports@b.example")
POST = Destination("https", "https://b.example/tlsrpt")
SPREAD_S = 14_400.0


class World:
    """``wanted``: domain -> destinations or why nobody knows; ``refuse``: what is not taken, and
    why."""

    def __init__(self, path, **config):
        self.path, self.config = path, config
        self.now = float(OVER)
        self.wanted = {"b.example": (MAIL,)}
        self.refuse = {}
        self.mails, self.posts, self.results = [], [], []
        self.begin()

    def begin(self):
        self.sending = TlsSending(
            TlsSendingConfig(self.path, US, SPREAD_S, **self.config),
            self.look_up,
            self.send_mail,
            self.post,
            self.results.append,
            lambda: self.now,
            random.Random(7),
        )

    async def look_up(self, domain):
        return self.wanted.get(domain, ())

    async def send_mail(self, to, content):
        if why := self.refuse.get(to):
            return why
        self.mails.append((to, email.message_from_bytes(content, policy=default)))
        return ""

    async def post(self, url, packed):
        if why := self.refuse.get(url):
            return why
        self.posts.append((url, packed))
        return ""

    def saw(self, domain="b.example", day=DAY, result="", sessions=3, **more):
        database = open_database(self.path)
        policy = policy_text("no-policy-found", (), ())
        add(database, {Seen(day, domain, policy, result, **more): sessions}, {}, 1000, 100)
        database.close()

    async def at(self, now):
        self.now = now
        await self.sending.turn()

    async def state(self, domain="b.example", day=DAY):
        ((row,), _) = await self.sending.shown(day, domain, 10)
        return row

    @property
    def sent(self):
        return len(self.mails) + len(self.posts)


@pytest.fixture
def world(tmp_path):
    one = World(str(tmp_path / "tls.sqlite3"))
    yield one
    one.sending.close()


async def test_a_report_leaves_after_its_day_at_a_moment_of_its_own(world):
    for number in range(20):
        world.wanted[f"d{number}.example"] = (Destination("mailto", f"r@d{number}.example"),)
        world.saw(f"d{number}.example")
    await world.at(OVER - 1.0)
    assert (await world.state("d0.example")).state == ""
    await world.at(OVER + 599.0)
    assert (await world.state("d0.example")).state == "", "events may still come in"
    await world.at(OVER + 600.0)
    assert world.sending.waiting > 15
    moments = {(await world.state(f"d{n}.example")).due_at for n in range(20)}
    assert len(moments) == 20
    assert OVER + 600 <= min(moments) < max(moments) <= OVER + 600 + SPREAD_S
    await world.at(OVER + 600.0 + SPREAD_S / 2)
    assert 3 < world.sent < 17
    await world.at(OVER + 600.0 + SPREAD_S)
    assert world.sent == 20
    await world.at(OVER + 3 * DAY_S)
    assert world.sent == 20
    assert world.results == ["sent"] * 20


async def test_what_is_sent_is_a_report(world):
    world.saw(result="certificate-expired", mx="mx.b.example", reason="old")
    world.saw(sessions=5)
    await world.at(OVER + 600.0)
    await world.at(OVER + DAY_S)
    ((to, mail),) = world.mails
    assert to == "reports@b.example"
    report = check_report(gzip.decompress(list(mail.iter_parts())[1].get_payload(decode=True)))
    (policy,) = report["policies"]
    assert policy["summary"] == {
        "total-successful-session-count": 5,
        "total-failure-session-count": 3,
    }
    assert (await world.state()).state == "sent"


async def test_who_asks_for_none_gets_none(world):
    world.saw("quiet.example")
    await world.at(OVER + 600.0)
    await world.at(OVER + DAY_S)
    assert world.sent == 0
    assert (await world.state("quiet.example")).state == "unwanted"


async def test_each_destination_gets_it_once(world):
    world.wanted["b.example"] = (MAIL, POST)
    world.refuse[POST.target] = "HTTP status 503"
    world.saw()
    await world.at(OVER + 600.0)
    await world.at(OVER + 600.0 + SPREAD_S)
    row = await world.state()
    assert (row.state, row.note) == ("due", "HTTP status 503")
    assert len(world.mails) == 1
    world.sending.close()
    world.begin()  # a crash in between
    world.refuse.clear()
    await world.at(row.due_at)
    assert (len(world.mails), len(world.posts)) == (1, 1)
    assert (await world.state()).state == "sent"
    assert world.results == ["later", "sent"]


async def test_it_is_tried_for_a_day_and_then_given_up(world):
    world.wanted["b.example"] = "SERVFAIL"
    world.saw()
    await world.at(OVER + 600.0)
    times, row = [], await world.state()
    first = row.due_at
    while row.state == "due" and len(times) < 100:
        times.append(row.due_at)
        await world.at(row.due_at)
        row = await world.state()
    assert (row.state, row.note) == ("failed", "SERVFAIL")
    assert 8 < len(times) < 20
    pauses = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert pauses[0] < 400 < 10_000 < max(pauses)
    assert first + DAY_S <= world.now <= first + DAY_S + 2
    await world.at(world.now + DAY_S)
    assert world.results.count("failed") == 1


async def test_a_day_that_was_long_ago_is_left_alone(world):
    world.saw(day=DAY - 5 * DAY_S)
    world.saw(day=DAY - DAY_S)
    await world.at(OVER + 600.0)
    assert (await world.state(day=DAY - 5 * DAY_S)).state == ""
    assert (await world.state(day=DAY - DAY_S)).state == "due"


async def test_sent_now_on_demand_and_again(world):
    world.saw()
    assert await world.sending.send_now(DAY, "b.example") == ("sent", "mailto:reports@b.example")
    assert await world.sending.send_now(DAY, "b.example") == ("sent", "mailto:reports@b.example")
    assert world.sent == 2
    assert world.mails[0][1]["Message-ID"] == world.mails[1][1]["Message-ID"]
    assert await world.sending.send_now(DAY, "other.example") is None


async def test_a_report_that_is_too_large_goes_without_details(tmp_path):
    world = World(str(tmp_path / "tls.sqlite3"), report_bytes_max=500)
    noise = random.Random(1)
    for _ in range(40):
        world.saw(result="tlsa-invalid", reason=f"{noise.random()}")
    await world.sending.send_now(DAY, "b.example")
    ((_, mail),) = world.mails
    packed = list(mail.iter_parts())[1].get_payload(decode=True)
    assert b'"total-failure-session-count":120' in gzip.decompress(packed)
    assert b"failure-details" not in gzip.decompress(packed)
    world.sending.close()


async def test_those_with_most_failures_are_shown_first(world):
    world.saw("good.example", sessions=100)
    world.saw("bad.example", result="tlsa-invalid")
    world.saw("worse.example", result="tlsa-invalid", sessions=9)
    rows, total = await world.sending.shown(DAY, "", 2)
    assert [row.domain for row in rows] == ["worse.example", "bad.example"]
    assert total == 3
