"""One spelling for each address, and what is none."""

from __future__ import annotations

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.suppression.entry import Entry
from penstock.suppression.normalise import normal_address, without_tag
from penstock.suppression.store import Store, StoreConfig, Suppressions
from penstock.suppression.writer import SuppressionWriter

SAME = {
    "ann@example.com": ["Ann@Example.COM", "  ann@example.com\t", "<ann@example.com>"],
    "jo.e+x@example.com": ["Jo.E+X@example.com.", '"jo.e+x"@EXAMPLE.com'],
    "a@xn--bcher-kva.example": ["a@bücher.example", "A@BÜCHER.example", "a@XN--BCHER-KVA.example"],
    '"two words"@example.com': ['"Two Words"@example.com'],
    "jürgen@example.com": ["JÜRGEN@example.com", "ju\u0308rgen@example.com"],
    "a@[192.0.2.1]": ["A@[192.0.2.1]"],
    "john..doe@docomo.example": ["John..Doe@docomo.example"],
}
NONE = ["", "@", "a@", "@b.example", "ab", "a b@c.example", "a@b..c", "a@-\0", "a\n@b.c", "a@b@c.d"]


@pytest.mark.parametrize(("normal", "spellings"), SAME.items())
def test_spellings_of_one_address(normal: str, spellings: list[str]) -> None:
    assert normal_address(normal) == normal
    assert {normal_address(one) for one in spellings} == {normal}


@pytest.mark.parametrize("text", [*NONE, "a" * 500 + "@b.example", "ü" * 250 + "@b.example"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError):
        normal_address(text)


@given(st.text(max_size=40) | st.from_regex(r"[ -~]{1,20}@[a-zA-Z0-9.ü-]{1,20}", fullmatch=True))
def test_the_spelling_of_a_spelling_is_itself(text: str) -> None:
    try:
        normal = normal_address(text)
    except ValueError:
        return
    assert normal_address(normal) == normal
    assert "\0" not in normal
    assert normal_address(without_tag(normal)) == without_tag(normal)


def test_dots_and_tags_are_differences(
    suppressions: Suppressions, writer: SuppressionWriter
) -> None:
    writer.add([Entry("jo.e+news@gmail.com")])
    assert suppressions.find("joe+news@gmail.com", "", "bulk", 0) is None
    assert suppressions.find("jo.e@gmail.com", "", "bulk", 0) is None


def test_tags_are_none_where_the_settings_say_so(tmp_path: pathlib.Path) -> None:
    distinct = Store(str(tmp_path))
    SuppressionWriter(distinct).add([Entry("old+tag@a.example")])
    distinct.close()
    store = Store(str(tmp_path), StoreConfig(plus_addresses="same"))
    suppressions = Suppressions(store)
    SuppressionWriter(store).add([Entry("new+tag@a.example")])
    for address in ("new@a.example", "new+other@a.example", "old+tag@a.example"):
        assert suppressions.find(address, "", "bulk", 0), address
    assert suppressions.find("old@a.example", "", "bulk", 0) is None
    assert without_tag("+x@a.example") == "+x@a.example"
    store.close()
