"""Whatever a policy file holds, loading gives policies or problems and nothing else."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.policy.difference import difference
from penstock.policy.load import load_policies
from penstock.policy.policies import Policies

SOURCES = """\
[source.s1]
ipv4 = "192.0.2.1"
byte_rate = "5 MiB/s"
[source.s2]
proxy = "socks5://proxy.example.com:1080"
proxy_user = "penstock"
proxy_password_file = "secret"
[pool.a]
sources = { s1 = 3, s2 = 1 }
overflow = "b"
[pool.b]
sources = ["s2"]
"""
TENANTS = """\
[class.bulk]
floor = 0.1
pool = "b"
[tenant.shop]
weight = 3
class = "bulk"
window = "mon-fri 08:00-20:00 Europe/Berlin"
[tenant.shop.campaign.spring]
connections = 3
[tenant."*"]
message_rate = "1/s"
"""
NARROWS = """
[[narrow]]
source = "s1"
connections = 2
[[narrow]]
tenant = "shop"
class = "bulk"
message_rate = "10/min"
domain = "x.example"
"""
_WORDS = st.sampled_from(
    [
        "limits", "mx", "domains", "site", "domain", "connections", "message_rate", "tls",
        "retry_initial_s", "retry_max_s", "[", "]", "[[", "]]", "{", "}", "=", ",", ".", '"',
        "'", '"""', "\n", " ", "#", "0", "-1", "1e999", "nan", "true", '"100/min"', '"x.example"',
        "1979-05-27", "\\u0000", "\x00", "\ud800", "é", "\r", "9" * 5000,
        "source", "pool", "sources", "overflow", "tenant", "class", "campaign", "weight", "floor",
        "window", "narrow", "ipv4", "byte_rate", '"s1"', '"a"', '"shop"', '"*"', '"5 MiB/s"',
        '"daily 23:00-01:00 UTC"', '"socks5://[::1]:1"', "\n[source.s3]\n", "\n[[narrow]]\n",
    ]
)  # fmt: skip
_NOISE = st.lists(_WORDS, max_size=12).map("".join)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_mutated_files_never_crash(shipped_files: dict[str, str], data: st.DataObject) -> None:
    drawn = st.lists(st.sampled_from(sorted(shipped_files)), min_size=1, max_size=2)
    names = {"default.toml", "providers/gmail.toml", *data.draw(drawn)}
    files = {name: shipped_files[name] for name in sorted(names)}
    files |= {"sources.toml": SOURCES, "tenants.toml": TENANTS}
    files["providers/gmail.toml"] += NARROWS
    for name in files:
        text = files[name]
        for _ in range(data.draw(st.integers(0, 4))):
            start = data.draw(st.integers(0, len(text)))
            end = min(len(text), start + data.draw(st.integers(0, 40)))
            text = text[:start] + data.draw(_NOISE) + text[end:]
        files[name] = text
    loaded = load_policies(files)
    if isinstance(loaded, Policies):
        for source in ("", *loaded.sources):
            loaded.limits("gmail", "x", "x.example", source)
            loaded.site_caps("gmail", "x", "x.example", source)
            for tenant in ("", "shop", "other"):
                loaded.lane_caps("gmail", "x", "x.example", source, tenant, "spring", "")
                assert loaded.resolve_pool(tenant, "", "")[0] in loaded.pools
                loaded.window(tenant, "spring", "bulk")
        difference(loaded, loaded)
        return
    assert loaded
    for problem in loaded:
        assert problem.file.startswith("policies/")
        assert "\n" not in str(problem)
