"""The store of MTA-STS policies: bounded, durable, shared."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from hypothesis.strategies import integers, sampled_from

from penstock.policy.mta_sts import StsPolicy, parse_policy
from penstock.relay.sts_store import StsStore


def policy(host="mx.example", max_age=1000, id="1", more=0) -> StsPolicy:
    filler = "".join(f"\nx: {'y' * 900}" for _ in range(more))
    text = f"version: STSv1\nmode: enforce\nmx: {host}\nmax_age: {max_age}{filler}"
    return parse_policy(text.encode(), id)


@pytest.fixture
def store(tmp_path):
    opened = StsStore(str(tmp_path / "sts"), 3)
    yield opened
    opened.close()


def test_a_policy_is_kept_to_its_end(store) -> None:
    store.put("a.example", policy(max_age=100), 1000.0)
    kept = store.get("a.example", 1099.0)
    assert kept.policy == policy(max_age=100)
    assert (kept.fetched_at, kept.expires_at) == (1000.0, 1100.0)
    assert store.get("a.example", 1100.0) is None
    assert store.get("b.example", 1000.0) is None


def test_a_newer_one_takes_its_place(store) -> None:
    for now in (1000.0, 2000.0, 3000.0, 4000.0):
        store.put("a.example", policy(id=str(int(now))), now)
    assert len(store) == 1
    assert store.get("a.example", 4000.0).policy.id == "4000"


def test_those_that_end_first_make_room(store) -> None:
    for name, age in (("a", 500), ("b", 100), ("c", 900), ("d", 300)):
        store.put(name, policy(max_age=age), 1000.0)
    assert len(store) == 3
    assert [name for name in "abcd" if store.get(name, 1000.0)] == ["a", "c", "d"]


def test_another_process_sees_it_and_it_outlives_ours(store, tmp_path) -> None:
    store.put("a.example", policy(), 1000.0)
    code = (
        "from penstock.relay.sts_store import StsStore; import sys;"
        "store = StsStore(sys.argv[1], 3); print(store.get('a.example', 1000.0).policy.mx)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "sts")], capture_output=True, text=True
    )
    assert ran.stdout == "('mx.example',)\n", ran.stderr


def test_it_survives_more_than_there_is_room_for(tmp_path) -> None:
    store = StsStore(str(tmp_path / "sts"), 100_000)
    store._environment.set_mapsize(1 << 20)
    for number in range(60):
        store.put(f"{number}.example", policy(max_age=1000 + number, more=60), 1000.0)
    assert store.get("59.example", 1000.0) is not None
    store.close()


def test_what_cannot_be_read_is_not_there(store) -> None:
    for value in (b"", b"\xc1", b"\x91\x01", b"\x95\x02\x01\x01\xa11\xc4\x01x"):
        with store._environment.begin(write=True) as writing:
            writing.put(b"a.example", value, db=store._policies)
        assert store.get("a.example", 0.0) is None


def test_a_place_that_cannot_be_used(tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError):
        StsStore(str(tmp_path / "file"), 3)


def test_what_comes_after_the_end_is_dropped(tmp_path) -> None:
    store = StsStore(str(tmp_path / "sts"), 3)
    store.close()
    store.put("a.example", policy(), 1000.0)
    again = StsStore(str(tmp_path / "sts"), 3)
    assert len(again) == 0
    again.close()


class Model(RuleBasedStateMachine):
    """Against a dictionary without a bound: what is there is right, and never too much."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.directory = tempfile.TemporaryDirectory()
        self.store = StsStore(self.directory.name, 4)
        self.model: dict[str, tuple[str, float]] = {}
        self.now, self.count = 1000.0, 0

    @rule(domain=sampled_from("abcdefgh"), age=integers(1, 50))
    def put(self, domain: str, age: int) -> None:
        self.count += 1
        self.store.put(domain, policy(max_age=age, id=str(self.count)), self.now)
        self.model[domain] = str(self.count), self.now + age

    @rule(seconds=integers(1, 20))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def right(self) -> None:
        assert len(self.store) <= 4
        for domain in "abcdefgh":
            kept = self.store.get(domain, self.now)
            id, ends = self.model.get(domain, ("", 0.0))
            assert kept is None or (kept.policy.id == id and kept.expires_at == ends > self.now)

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
