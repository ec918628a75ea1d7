"""Whatever a policy file holds, loading gives policies or problems and nothing else."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.policy.difference import difference
from penstock.policy.load import load_policies
from penstock.policy.policies import Policies

_WORDS = st.sampled_from(
    [
        "limits", "mx", "domains", "site", "domain", "connections", "message_rate", "tls",
        "retry_initial_s", "retry_max_s", "[", "]", "[[", "]]", "{", "}", "=", ",", ".", '"',
        "'", '"""', "\n", " ", "#", "0", "-1", "1e999", "nan", "true", '"100/min"', '"x.example"',
        "1979-05-27", "\\u0000", "\x00", "\ud800", "é", "\r", "9" * 5000,
    ]
)  # fmt: skip
_NOISE = st.lists(_WORDS, max_size=12).map("".join)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_mutated_files_never_crash(shipped_files: dict[str, str], data: st.DataObject) -> None:
    drawn = st.lists(st.sampled_from(sorted(shipped_files)), min_size=1, max_size=2)
    names = {"default.toml", "providers/gmail.toml", *data.draw(drawn)}
    files = {name: shipped_files[name] for name in sorted(names)}
    for name in files:
        text = files[name]
        for _ in range(data.draw(st.integers(0, 4))):
            start = data.draw(st.integers(0, len(text)))
            end = min(len(text), start + data.draw(st.integers(0, 40)))
            text = text[:start] + data.draw(_NOISE) + text[end:]
        files[name] = text
    loaded = load_policies(files)
    if isinstance(loaded, Policies):
        loaded.limits("gmail", "x", "x.example")
        difference(loaded, loaded)
        return
    assert loaded
    for problem in loaded:
        assert problem.file.startswith("policies/")
        assert "\n" not in str(problem)
