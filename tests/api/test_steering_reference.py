"""The page of all routes is that of the routes."""

from __future__ import annotations

import pathlib

from penstock.api.reference_routes import described, page

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_page_is_up_to_date() -> None:
    text = (ROOT / "docs" / "reference" / "api.md").read_text("utf-8")
    assert text == page(), "run: make docs"


def test_everything_on_it_is_described() -> None:
    for path, methods in described()["paths"].items():
        for verb, operation in methods.items():
            assert operation["summary"], (verb, path)
            assert operation["description"], (verb, path)
            for parameter in operation.get("parameters", ()):
                assert parameter.get("description"), (verb, path, parameter["name"])
