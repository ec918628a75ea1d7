"""Everything that is wrong in a config file is said at once, each with its line and a remedy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

ProblemsOf = Callable[[str], list[str]]


BROKEN = """\
hostname = localhost
spol = "x"
workers = 100
relay_from = ["10.0.0.0/8"]
[[smtp]]
lisen = "0.0.0.0:2525"
tls = "startls"
auth = [{user="a", password_hash="plain"},{usr="b", password_hash="HASH"}]
size_max_bytes = "64 XB"
relay_from = ["10.0.0.1/8", 5]
[[smtp]]
listen = "127.0.0.1:2525"
tls = "implicit"
cert = "x.pem"
[[smtp]]
listen = "192.0.2.1:25"
auth = [{user="b", password_hash="HASH"}]
[http]
listen = "127.0.0.1"
workers = 3
[[route]]
next_hop = "mx:25:"
[[route]]
domains = "*"
next_hop = "mx.example.com"
[[route]]
domains = []
next_hop = 3
[[dkim]]
domain = "example.com"
selector = "s1"
key = "a"
[[dkim]]
domain = "Example.com."
selector = "s1"
key = ""
[queue]
segment_bytes = "64M"
"""

PROBLEMS_OF_BROKEN = [
    '1: not a value; a text stands in quotes: "localhost"',
    '2: spol: unknown key; did you mean "spool"?',
    '3: workers: must be 1 to 64, or "auto"',
    "4: relay_from: unknown key; it belongs in [[smtp]]",
    '6: smtp[0].lisen: unknown key; did you mean "listen"?',
    (
        '7: smtp[0].tls: expected "none" or "starttls" or "implicit", not the text "startls"; '
        'did you mean "starttls"?'
    ),
    ('8: smtp[0].auth[0].password_hash: not an argon2 hash ("$argon2id$..."), the only kind taken'),
    '8: smtp[0].auth[1].usr: unknown key; did you mean "user"?',
    (
        '9: smtp[0].size_max_bytes: a size needs a unit, like "64 MiB" '
        "(B, KiB, MiB, GiB, TiB), "
        "in '64 XB'"
    ),
    (
        "10: smtp[0].relay_from[0]: '10.0.0.1/8' has bits set beyond its prefix; "
        'did you mean "10.0.0.0/8"?'
    ),
    '10: smtp[0].relay_from[1]: expected a network in quotes, like "192.0.2.0/24"',
    "12: smtp[1].listen: 127.0.0.1:2525 is taken by the listener in line 6",
    '13: smtp[1].tls: "implicit" needs a key; give key = "FILE.pem"',
    '14: smtp[1].cert: unknown key; did you mean "certificate"?',
    (
        "17: smtp[2].auth: passwords would cross the network in the clear at 192.0.2.1:25; "
        'set tls = "starttls" or listen on a loopback address'
    ),
    (
        "19: http.listen: not an address to listen on: '127.0.0.1'; "
        'write "host:port" or "[IPv6 address]:port"'
    ),
    "20: http.workers: unknown key; it belongs at the top, before the first [table]",
    '21: route[0]: the key "domains" is missing',
    "22: route[0].next_hop: 'mx:25:' is not an IPv6 address",
    '24: route[1].domains: expected an array, not the text "*"; write ["*"]',
    "27: route[2].domains: must not be empty",
    "28: route[2].next_hop: expected a text in quotes, not the number 3",
    (
        "35: dkim[1].selector: s1._domainkey.example.com stands in line 29 too; "
        "a second key needs its own selector"
    ),
    "36: dkim[1].key: must not be empty",
    (
        "38: queue.segment_bytes: a size needs a unit, "
        "like \"64 MiB\" (B, KiB, MiB, GiB, TiB), in '64M'"
    ),
]


def test_unknown_keys_wrong_types_and_contradictions_all_at_once(
    problems_of: ProblemsOf, password_hash: str
) -> None:
    found = problems_of(BROKEN.replace("HASH", password_hash))
    assert [line.removeprefix("config.toml:") for line in found] == PROBLEMS_OF_BROKEN


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('workers = "all"', '1: workers: expected "auto" or an integer 1 to 64'),
        ("workers = true", '1: workers: expected "auto" or an integer 1 to 64'),
        (
            'delivery = "Live"',
            '1: delivery: expected "sandbox" or "live", not the text "Live"; did you mean "live"?',
        ),
        ('hostname = "mail host"', "1: hostname: not a domain name: 'mail host'"),
        ('hostname = ""', "1: hostname: must not be empty"),
        ('spool = ""', "1: spool: must not be empty"),
        ('spool = "a\\u0000b"', "1: spool: a path holds no NUL"),
        ("smtp = 5", "1: smtp: expected an array, not the number 5"),
        (
            "\n[smtp]\nlisten = '[::1]:25'",
            (
                "2: smtp: expected an array, not a table; write [[name]] with double brackets, one "
                "for each"
            ),
        ),
        (
            "[[http]]\nlisten = '[::1]:25'",
            "1: http: expected a table, not an array; write [name] with single brackets, once",
        ),
        ("[http]", '1: http: the key "listen" is missing'),
        ("[http]\nlisten = '127.0.0.1:99999'", "2: http.listen: port 99999 is beyond 65535"),
        (
            "[http]\nlisten = 'mail.example.com:80'",
            (
                "2: http.listen: 'mail.example.com' is not an IP address; 0.0.0.0 or [::] "
                "listens on "
                "all of them"
            ),
        ),
        (
            "[log]\nattempts = 'true'",
            (
                '2: log.attempts: expected true or false, not the text "true"; write true without '
                "quotes"
            ),
        ),
        ("[log]\nattempts = 1", "2: log.attempts: expected true or false, not the number 1"),
        (
            "[dns]\nnameservers = ['ns.example.com']",
            "2: dns.nameservers[0]: 'ns.example.com' is not an IP address, or address:port",
        ),
        ("[dns]\nnameservers = ['192.0.2.1:0']", "2: dns.nameservers[0]: port 0 is not 1 to 65535"),
        (
            "[relay]\nconnections_max = 1e3",
            "2: relay.connections_max: expected an integer, not the number 1000.0",
        ),
        (
            "[queue]\ncompact_dead_share = 0",
            "2: queue.compact_dead_share: must be more than 0, not the number 0",
        ),
        (
            "[queue]\nsettle_delay_s = '1h'",
            '2: queue.settle_delay_s: must be at most 1, not the text "1h"',
        ),
        (
            "[queue]\ncache_bytes = 1.5",
            '2: queue.cache_bytes: expected a size, like "64 MiB" or a number of bytes',
        ),
        (
            "queue.colour = 1",
            (
                "1: queue.colour: unknown key; keys here: cache_bytes, compact_bytes_per_s, "
                "compact_dead_share, direct_io, disk_free_min_bytes, gather_s, inflight_slots, "
                "inodes_free_min, keys_max, segment_bytes, settle_delay_s, "
                "uncommitted_bytes_max, wait_max_s"
            ),
        ),
    ],
)
def test_each_kind_of_mistake(problems_of: ProblemsOf, text: str, problem: str) -> None:
    assert problems_of(text) == [f"config.toml:{problem}"]


LISTENER = '[[smtp]]\nlisten = "127.0.0.1:2525"\n'


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            LISTENER + 'tls = "starttls"\n',
            ['3: smtp[0].tls: "starttls" needs a certificate; give certificate = "FILE.pem"',
             '3: smtp[0].tls: "starttls" needs a key; give key = "FILE.pem"'],
        ),
        (LISTENER + 'tls = "starttls"\ncertificate = "c"\nkey = "k"\n', []),
        (
            LISTENER + '[[smtp]]\nlisten = "0.0.0.0:2525"\n',
            ["4: smtp[1].listen: 0.0.0.0:2525 is taken by the listener in line 2"],
        ),
        (
            '[http]\nlisten = "localhost:2525"\n' + LISTENER,
            ["4: smtp[0].listen: 127.0.0.1:2525 is taken by the listener in line 2"],
        ),
        (LISTENER + '[[smtp]]\nlisten = "[::1]:2525"\n[http]\nlisten = "192.0.2.1:2525"\n', []),
        ('[[smtp]]\nlisten = "127.0.0.1:0"\n[http]\nlisten = "127.0.0.1:0"\n', []),
        (
            LISTENER + 'size_max_bytes = "100 MiB"\n',
            [("3: smtp[0].size_max_bytes: a message of 100 MiB could never be stored; "
             "queue.uncommitted_bytes_max is 64 MiB")],
        ),
        (
            '[queue]\nsegment_bytes = "2 GiB"\nuncommitted_bytes_max = "1 GiB"\n',
            [("2: queue.segment_bytes: a segment and twice what may wait for the disk "
             "come to more than 4 GiB")],
        ),
        (
            '[dns]\nttl_min_s = "2h"\nttl_max_s = "1h"\n',
            ["2: dns.ttl_min_s: the least time, 2h, is longer than the longest, 1h"],
        ),
        (
            ('[[route]]\ndomains = ["*"]\nnext_hop = "a.example"\n'
            '[[route]]\ndomains = ["b.example"]\nnext_hop = "b.example"\n'),
            [("4: route[1]: never used: the route in line 2 takes every domain before it; "
             "put the route with * last")],
        ),
        (
            f'spool = "/{"x" * 100}"\n',
            [("1: spool: the control socket's path has 114 bytes, more than 107; "
             'set control = "/run/penstock/control.sock"')],
        ),
        (
            f'api_socket = "/{"x" * 110}"\n',
            [("1: api_socket: the API socket's path has 111 bytes, more than 107; "
             'set api_socket = "/run/penstock/api.sock"')],
        ),
    ],
)  # fmt: skip
def test_settings_that_cannot_all_be_meant(
    problems_of: ProblemsOf, text: str, problems: list[str]
) -> None:
    assert problems_of(text) == [f"config.toml:{problem}" for problem in problems]


def test_one_user_stands_once_in_a_listener(problems_of: ProblemsOf, password_hash: str) -> None:
    account = f"{{ user = 'a', password_hash = '{password_hash}' }}"
    found = problems_of(f"{LISTENER}auth = [\n  {account},\n  {account},\n]\n")
    assert found == ['config.toml:5: smtp[0].auth[1].user: the user "a" stands in line 4 too']


def test_no_complaint_follows_from_another(problems_of: ProblemsOf) -> None:
    # The certificate is there, only its type is wrong; the listener is there, only misspelt.
    found = problems_of(
        '[[smtp]]\nlissen = "127.0.0.1:25"\ntls = "starttls"\ncertificate = 5\nkey = = 6\n'
    )
    assert [line.split(":")[1] for line in found] == ["2", "4", "5"]


def test_left_out_elements_do_not_move_the_others(problems_of: ProblemsOf) -> None:
    found = problems_of(
        "smtp = [\n  5,\n  { listen = '127.0.0.1:25' },\n  'x',\n  { listen = '0.0.0.0:25' },\n]\n"
    )
    assert found == [
        "config.toml:2: smtp[0]: expected a table, not the number 5",
        'config.toml:4: smtp[2]: expected a table, not the text "x"',
        "config.toml:5: smtp[3].listen: 0.0.0.0:25 is taken by the listener in line 3",
    ]
