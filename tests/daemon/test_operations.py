"""What operators ordered, on disk: it survives, runs out, is bounded, and is never half there."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from penstock.daemon import operations
from penstock.daemon.operations import BadFile, Operations


def test_operations_survive_and_run_out(tmp_path: pathlib.Path) -> None:
    first = Operations(str(tmp_path))
    held = first.begin(
        "suspend", {"domain": "a.example"}, 100.0, until=200.0, who="ann", reason="too fast"
    )
    moved = first.begin("reroute", {"tenant": "t"}, 101.0, args={"pool": "warm"})
    assert [held.id, moved.id] == ["s1", "r2"]

    again = Operations(str(tmp_path))
    assert again.active(150.0) == [held, moved]
    assert again.active(250.0) == [moved]
    assert again.expired(250.0) == [held]
    again.drop(["s1"])
    assert Operations(str(tmp_path)).active(0.0) == [moved]


def test_one_that_runs_out_takes_no_other_with_the_same_selector_along(tmp_path) -> None:
    kept = Operations(str(tmp_path))
    kept.begin("suspend", {"domain": "a.example"}, 0.0, until=10.0)
    long = kept.begin("suspend", {"domain": "a.example"}, 1.0)
    kept.drop([one.id for one in kept.expired(20.0)])
    assert Operations(str(tmp_path)).active(20.0) == [long]


def test_exactly_means_this_verb_and_no_other_selector(tmp_path) -> None:
    kept = Operations(str(tmp_path))
    for verb, selector in (
        ("suspend", {"tenant": "t"}),
        ("suspend", {"tenant": "t", "class": "bulk"}),
        ("bounce", {"tenant": "t"}),
        ("suspend", {"tenant": "t"}),
    ):
        kept.begin(verb, selector, 0.0)
    assert [one.id for one in kept.exactly("suspend", {"tenant": "t"})] == ["s1", "s4"]
    assert [one.id for one in kept.exactly("suspend", {})] == ["s1", "s2", "s4"]
    assert kept.exactly("suspend", {"tenant": "other"}) == []


def test_an_id_is_never_given_twice(tmp_path) -> None:
    kept = Operations(str(tmp_path))
    first = kept.begin("bounce", {"tenant": "t"}, 0.0)
    kept.drop([first.id])
    assert Operations(str(tmp_path)).begin("bounce", {"tenant": "t"}, 0.0).id == "b2"


def test_there_is_a_most_and_what_ran_out_makes_room(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(operations, "OPERATIONS_MAX", 20)
    many = Operations(str(tmp_path))
    many.begin("suspend", {"domain": "short.example"}, 0.0, until=50.0)
    for n in range(19):
        many.begin("suspend", {"domain": f"d{n}.example"}, 0.0)
    with pytest.raises(ValueError, match="there are 20 operations already"):
        many.begin("suspend", {"domain": "x.example"}, 10.0)
    assert len(many) == 20
    many.begin("suspend", {"domain": "x.example"}, 60.0)
    assert len(Operations(str(tmp_path))) == 20


def test_a_write_that_fails_changes_nothing(tmp_path, monkeypatch) -> None:
    kept = Operations(str(tmp_path))
    first = kept.begin("suspend", {"domain": "a.example"}, 0.0)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            kept.begin("suspend", {"domain": "b.example"}, 1.0)
        with pytest.raises(OSError, match="No space"):
            kept.drop([first.id])
    assert kept.active(1.0) == [first]
    assert Operations(str(tmp_path)).active(1.0) == [first]


def test_the_new_file_is_synced_before_it_takes_the_place_of_the_old_one(
    tmp_path, monkeypatch
) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, os.replace

    def traced_sync(fd: int) -> None:
        steps.append(f"sync {pathlib.Path(os.readlink(f'/proc/self/fd/{fd}')).name}")
        sync(fd)

    def traced_replace(old: str, new: str) -> None:
        steps.append(f"rename to {pathlib.Path(new).name}")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", traced_sync)
    monkeypatch.setattr(os, "replace", traced_replace)
    Operations(str(tmp_path)).begin("suspend", {"domain": "a.example"}, 0.0)
    assert steps == [
        "sync operations.json.new",
        "rename to operations.json",
        f"sync {tmp_path.name}",
    ]


def test_a_crash_while_it_is_written_leaves_the_old_one(tmp_path) -> None:
    first = Operations(str(tmp_path)).begin("suspend", {"domain": "a.example"}, 0.0)
    (tmp_path / "operations.json.new").write_text('{"version": 1, "next"')
    after = Operations(str(tmp_path))
    assert after.active(0.0) == [first]
    second = after.begin("suspend", {"domain": "b.example"}, 0.0)
    assert Operations(str(tmp_path)).active(0.0) == [first, second]


OLD = [
    {"id": "s18c0ffee", "selector": {"provider": "gmail"}, "since": 5.0}
    | {"until": 0.0, "who": "ann", "reason": "blocked"}
]


def test_suspensions_of_an_earlier_release_go_on_to_hold(tmp_path) -> None:
    old = tmp_path / "suspensions.json"
    old.write_text(json.dumps(OLD))
    kept = Operations(str(tmp_path))
    [one] = kept.active(10.0)
    assert (one.id, one.verb, one.selector, one.who) == (
        "s18c0ffee",
        "suspend",
        {"provider": "gmail"},
        "ann",
    )
    assert old.exists()  # an upgrade may still fail, and the old daemon go on with it

    second = kept.begin("suspend", {"tenant": "t"}, 10.0)
    assert not old.exists()
    assert Operations(str(tmp_path)).active(10.0) == [one, second]


def test_suspensions_that_were_taken_over_do_not_come_back(tmp_path) -> None:
    old = tmp_path / "suspensions.json"
    old.write_text(json.dumps(OLD))
    Operations(str(tmp_path)).drop(["s18c0ffee"])
    old.write_text(json.dumps(OLD))  # as if a crash had come before it was removed
    assert Operations(str(tmp_path)).active(10.0) == []


DAMAGED = [
    "",
    "{",
    "[]",
    '{"version": 1}',
    '{"version": 2, "next": 1, "operations": []}',
    '{"version": 1, "next": 1, "operations": [{"id": "s1"}]}',
]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_is_named_and_not_taken_for_an_empty_one(text, tmp_path) -> None:
    (tmp_path / "operations.json").write_text(text)
    with pytest.raises(BadFile, match=r"operations\.json is damaged"):
        Operations(str(tmp_path))
