"""What is wrong in policy files is said with file, line and the nearest key, all of it at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Problems = Callable[[dict[str, str]], list[str]]


def test_all_problems_of_all_files_at_once(problems: Problems) -> None:
    assert problems(
        {
            "default.toml": """\
[limits]
conections = 5
message_rate = "100/fortnight"
tls = "requierd"
idle_timeout_s = true

[site.""]
connections = 1
""",
            "providers/a.toml": """\
mx = [".example.net", 5]
[limits]
connections = 0
messages_per_connection = "50"
provider_connections = "lots"
""",
            "providers/b.toml": 'mx = ".example.net"\n[limits\n',
        }
    ) == [
        'policies/default.toml:2: limits.conections: unknown key; did you mean "connections"?',
        (
            "policies/default.toml:3: limits.message_rate: unknown unit 'fortnight' in the rate; "
            "units: s, min, h, day"
        ),
        (
            'policies/default.toml:4: limits.tls: expected "none" or "opportunistic" or '
            '"required" or "verified", not the text "requierd"; did you mean "required"?'
        ),
        (
            "policies/default.toml:5: limits.idle_timeout_s: expected a duration, "
            'like "5m" or a number of seconds'
        ),
        'policies/default.toml:7: site."": a site\'s name has 1 to 200 characters',
        "policies/providers/a.toml:1: mx[1]: expected a text in quotes, not the number 5",
        "policies/providers/a.toml:3: limits.connections: must be at least 1, not the number 0",
        (
            "policies/providers/a.toml:4: limits.messages_per_connection: expected an integer, "
            'not the text "50"; write 50 without quotes'
        ),
        (
            "policies/providers/a.toml:5: limits.provider_connections: "
            'expected an integer or "unlimited"'
        ),
        (
            'policies/providers/b.toml:1: mx: expected an array, not the text ".example.net"; '
            'write [".example.net"]'
        ),
        "policies/providers/b.toml:2: expected ']' at the end of a table declaration",
    ]


def test_two_providers_cannot_claim_one_mx_or_domain(problems: Problems) -> None:
    assert problems(
        {
            "providers/a.toml": 'mx = [".example.net"]\ndomains = ["x.example"]\n',
            "providers/b.toml": 'domains = [\n  "X.example.",\n]\nmx = ["EXAMPLE.net"]\n',
        }
    ) == [
        (
            'policies/providers/b.toml:2: domains[0]: the domain "x.example" is claimed by '
            "policies/providers/a.toml:2 too; only one may have it"
        ),
        (
            'policies/providers/b.toml:4: mx[0]: the MX suffix "example.net" is claimed by '
            "policies/providers/a.toml:1 too; only one may have it"
        ),
    ]


def test_two_files_cannot_set_one_site_or_domain(problems: Problems) -> None:
    found = problems(
        {
            "default.toml": '[domain."x.example"]\nconnections = 1\n[site.mx]\ntls = "none"\n',
            "providers/a.toml": 'mx = ["a.example"]\n[domain."X.example"]\nconnections = 2\n'
            "[site.MX]\nconnections = 2\n",
        }
    )
    assert found == [
        (
            'policies/providers/a.toml:2: domain."X.example": domain "x.example" is claimed by '
            "policies/default.toml:1 too; only one may have it"
        ),
        (
            'policies/providers/a.toml:4: site.MX: site "mx" is claimed by '
            "policies/default.toml:3 too; only one may have it"
        ),
    ]


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ('message_rate = "0/min"', "a rate of 0 would never send; suspend the queue instead"),
        ("message_rate = 100", 'expected a rate, like "100/min", or "unlimited"'),
        ("provider_connections = 0", "must be 1 to 10000"),
        ('max_age_s = "0s"', 'must be at least 1, not the text "0s"'),
        ("retry_factor = 0.5", "must be at least 1, not the number 0.5"),
        ("retry_factor = nan", "expected a finite number, not the number nan"),
        ("retry_factor = 1979-05-27", "expected a number, not a date or time"),
        ("connections = true", "expected an integer, not true"),
        ("connections = [1]", "expected an integer, not an array"),
        ("connections = { a = 1 }", "expected an integer, not a table"),
        ('retry_initial_s = "soon"', 'not a duration: \'soon\'; write "5m", "30s", "1h" or "2d"'),
    ],
)
def test_bad_values_say_what_is_allowed(problems: Problems, limits: str, problem: str) -> None:
    name = limits.partition(" ")[0]
    found = problems({"default.toml": f"# figures\n[limits]\n{limits}\n"})
    assert found == [f"policies/default.toml:3: limits.{name}: {problem}"]


def test_limits_that_contradict_each_other_over_layers(problems: Problems) -> None:
    assert problems(
        {
            "default.toml": '[limits]\nretry_max_s = "1h"\nretry_initial_s = "10m"\n',
            "providers/a.toml": 'mx = ["a.example"]\n[limits]\nretry_initial_s = "2h"\n',
        }
    ) == [
        (
            "policies/providers/a.toml:3: limits.retry_initial_s: the first delay, 2h, is longer "
            "than the longest, 1h; retry_max_s is set in policies/default.toml:2"
        )
    ]


def test_a_provider_needs_something_to_be_told_by(problems: Problems) -> None:
    assert problems({"providers/a.toml": "[limits]\nconnections = 1\n"}) == [
        "policies/providers/a.toml: nothing tells this provider; mx or domains is needed"
    ]
    # Not where it may have been in the statement that could not be read.
    assert len(problems({"providers/a.toml": "mx = [.example]\n"})) == 1


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "defaults.toml",
            'policies/defaults.toml: not a policy file; did you mean "default.toml"?',
        ),
        (
            "providers/A B.toml",
            (
                "policies/providers/A B.toml: the file name is no provider name; "
                "lower-case letters, digits and . _ - make a name, 40 at most"
            ),
        ),
    ],
)
def test_files_that_are_no_policies(problems: Problems, name: str, problem: str) -> None:
    assert problems({name: ""}) == [problem]


@pytest.mark.parametrize(
    ("suffix", "reason"),
    [
        (".com", "'.com' would take every host below a top-level domain"),
        ("a b.example", "not a domain name: 'a b.example'"),
        ("user@example.com", "not a domain name: 'user@example.com'; write what follows the @"),
        ("x" * 64 + ".example", "not a domain name"),
        ("a\\u2028b.example", "not a domain name"),
    ],
)
def test_suffixes_that_are_none(problems: Problems, suffix: str, reason: str) -> None:
    (found,) = problems({"providers/a.toml": f'mx = ["{suffix}"]'})
    assert found.startswith(f"policies/providers/a.toml:1: mx[0]: {reason}")


def test_a_key_of_another_table_is_sent_there(problems: Problems) -> None:
    assert problems({"providers/a.toml": 'mx = ["a.example"]\nprovider_connections = 5\n'}) == [
        "policies/providers/a.toml:2: provider_connections: unknown key; it belongs in [limits]"
    ]
    assert problems({"default.toml": "[domain.x]\nprovider_connections = 5\n"}) == [
        (
            "policies/default.toml:2: domain.x.provider_connections: unknown key; "
            "it belongs in [limits]"
        )
    ]
