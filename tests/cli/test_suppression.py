"""``penstock suppression`` on a list of its own, without a daemon."""

from __future__ import annotations

import json

import pytest

from penstock.suppression.store import Store
from penstock.suppression.writer import SuppressionWriter


@pytest.fixture
def list_(penstock):
    return lambda *arguments, **more: penstock("suppression", *arguments, **more)


def test_add_show_remove(list_):
    added = list_("add", "Ann@Example.com", "ben@example.com", "--tenant", "shop", "--ttl", "90d")
    assert added.stdout == "2 entries for 2 addresses, 2 new\n"
    (ann,) = json.loads(list_("show", "ann@example.com", "--json").stdout)
    assert (ann["tenant"], ann["scope"], ann["reason"]) == ("shop", "", "manual")
    assert ann["until"] > ann["since"]
    assert "(all)" in list_("show", "ann@example.com").stdout
    assert list_("remove", "ann@example.com", "--tenant", "-").exit_code == 1
    assert list_("remove", "ann@example.com").stdout == "1 entry removed\n"
    shown = list_("show", "ann@example.com")
    assert (shown.exit_code, shown.stdout) == (1, "ann@example.com: not suppressed\n")


def test_the_scope_is_what_the_reason_says(list_):
    list_("add", "u@a.example", "--reason", "unsubscribe")
    list_("add", "c@a.example", "--reason", "complaint")
    list_("add", "l@a.example", "--reason", "unsubscribe", "--scope", "list:news")
    rows = json.loads(list_("list", "--json").stdout)
    assert [(row["address"], row["scope"]) for row in rows] == [
        ("c@a.example", "bulk"),
        ("c@a.example", "triggered"),
        ("l@a.example", "list:news"),
        ("u@a.example", "bulk"),
    ]
    some = list_("list", "--json", "--scope", "bulk", "--reason", "unsubscribe").stdout
    assert [row["address"] for row in json.loads(some)] == ["u@a.example"]
    assert len(json.loads(list_("list", "--json", "-n", "2").stdout)) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "nobody"), "not an address: 'nobody'"),
        (("show", "nobody"), "not an address: 'nobody'"),
        (("add", "a@b.example", "--tenant", "no name"), "tenant: 'no name'"),
        (("add", "a@b.example", "--scope", "bilk"), "scope: 'bilk'"),
        (("add", "a@b.example", "--reason", "Because!"), "reason: 'Because!'"),
        (("add", "a@b.example", "--ttl", "soon"), "soon"),
        (("export", "--format", "xml"), "--format is csv or ndjson"),
    ],
)
def test_what_is_wrong_is_said(list_, arguments, said):
    result = list_(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_import_and_export(list_, here):
    (here / "in.csv").write_text(
        "email,created,reason,status\nA@b.example,1500000000,x,5.1.1\nno\n"
    )
    result = list_("import", "in.csv", "--tenant", "shop")
    assert result.exit_code == 1
    assert result.stdout == "2 rows: 1 taken, 1 not; 1 address, 1 of them with something new\n"
    assert result.stderr == "line 3: not an address: 'no'\n"
    assert list_("export", "out.ndjson").exit_code == 0
    row = json.loads((here / "out.ndjson").read_text())
    assert row == {
        "address": "a@b.example",
        "tenant": "shop",
        "scope": "",
        "reason": "bounce",
        "since": "2017-07-14T02:40:00Z",
        "until": "",
        "cause": "",
    }
    exported = list_("export").stdout
    list_("remove", "a@b.example")
    assert list_("import", "-", input=exported).exit_code == 0
    assert list_("export").stdout == exported
    assert list_("export", "--tenant", "-").stdout.count("\n") == 1
    assert list_("import", "absent.csv").exit_code == 1


def test_stats(list_):
    list_("add", "a@b.example", "c@b.example", "--tenant", "shop")
    list_("add", "a@b.example")
    out = list_("stats").stdout
    assert out.startswith("3 addresses (once for each tenant), ")
    assert "2  shop · manual · all classes" in out
    assert json.loads(list_("stats", "--json").stdout)["counts"][0]["entries"] == 1


def test_each_change_leaves_a_note(list_, here):
    list_("add", "a@b.example", "--why", "asked by mail")
    list_("remove", "a@b.example")
    list_("import", "-", input="x@b.example\n")
    store = Store(str(here / "spool/suppression"))
    notes = [note for _, note in SuppressionWriter(store).notes(10)]
    store.close()
    assert [note["action"] for note in notes] == [
        "suppression add",
        "suppression remove",
        "suppression import",
        "suppression import done",
    ]
    assert notes[0]["reason"] == "asked by mail"
    assert notes[3]["selector"] == {"file": "-", "rows": 1, "bad": 0, "new": 1}
