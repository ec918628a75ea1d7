"""The schema is made from the types, says what they are, and is what is published."""

import json
import pathlib

import msgspec
import pytest

from penstock.events import schema
from penstock.events.records import Delivered

REFERENCE = pathlib.Path(__file__).resolve().parents[2] / "docs/reference"


@pytest.mark.parametrize(
    ("name", "text"), [("events.schema.json", schema.schema_text), ("events.md", schema.page)]
)
def test_the_reference_is_up_to_date(name, text):
    assert (REFERENCE / name).read_text() == text(), "run make docs"


def test_main_writes_both(tmp_path, capsys):
    assert schema.main([str(tmp_path)]) == 0
    assert schema.main([]) == 0
    printed = capsys.readouterr().out
    for name in ("events.schema.json", "events.md"):
        assert (tmp_path / name).read_text() in printed


def test_every_type_is_there_under_its_tag():
    found = schema.schema()
    tags = {one["properties"]["type"]["enum"][0] for one in found["$defs"].values()}
    assert tags == {kind.__struct_config__.tag for kind in schema.types()}
    assert len(found["oneOf"]) == len(schema.types())


def test_what_is_written_has_the_fields_that_the_schema_has():
    event = Delivered(id="1", at="x", message="m", recipient="r", class_="bulk", tags={"a": "b"})
    line = json.loads(msgspec.json.encode(event))
    fields = schema.schema()["$defs"]["Delivered"]
    assert line.keys() <= fields["properties"].keys()
    assert set(fields["required"]) <= line.keys()
