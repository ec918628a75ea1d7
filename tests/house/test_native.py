"""Compiled modules, where somebody has made them, are those of the sources beside them."""

import hashlib
import json
import os
import pathlib
import shutil

import pytest
from typer.testing import CliRunner

from penstock import native
from penstock.cli import app


def test_every_module_that_is_compiled_is_there() -> None:
    for module in native.MODULES:
        assert (native.ROOT / module).with_suffix(".py").exists(), module


def test_no_module_here_is_older_than_its_source() -> None:
    assert native.stale() == [], "make native, or python -m penstock.native clean"


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A package with one module as machine code."""
    module = tmp_path / "penstock" / native.MODULES[0]
    module.parent.mkdir(parents=True)
    module.with_suffix(".py").write_text("")
    module.with_name(module.name + native.SUFFIXES[0]).write_text("")
    (tmp_path / "0a1b__mypyc.cpython-311.so").write_text("")
    digest = hashlib.sha256(b"").hexdigest()
    (tmp_path / "penstock/_native.json").write_text(json.dumps({native.MODULES[0]: digest}))
    return tmp_path / "penstock"


def test_a_source_that_is_another_is_named_whatever_its_time(root: pathlib.Path) -> None:
    source = (root / native.MODULES[0]).with_suffix(".py")
    assert (native.built(root), native.stale(root)) == ([native.MODULES[0]], [])
    source.write_text("x = 1\n")
    os.utime(source, (1e9, 1e9))
    assert native.stale(root) == [native.MODULES[0]]


@pytest.mark.parametrize("note", [None, "", "[", "{}"])
def test_machine_code_of_an_unknown_source_is_named(root: pathlib.Path, note: str | None) -> None:
    path = root / "_native.json"
    path.unlink()
    if note is not None:
        path.write_text(note)
    assert native.stale(root) == [native.MODULES[0]]


def test_no_daemon_runs_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr(native, "stale", lambda: ["smtp/reply", "smtp/data"])
    config = tmp_path / "config.toml"
    config.write_text("")
    ran = CliRunner().invoke(app, ["run", "--config", str(config)])
    assert ran.exit_code == 1
    assert ran.output == (
        "penstock: 2 compiled modules are not of this release (smtp/reply, …): run "
        "`python -m penstock.native build`, or `clean` to go without\n"
    )


def test_cleaning_leaves_the_sources_only(root: pathlib.Path) -> None:
    native.clean(root)
    assert native.built(root) == []
    left = [path.name for path in root.parent.rglob("*") if path.is_file()]
    assert left == [f"{pathlib.PurePath(native.MODULES[0]).name}.py"]


def test_without_a_compiler_it_says_what_is_missing(
    root: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert native.build(root) == 2
    error = capsys.readouterr().err
    assert "no C compiler" in error or "pip install 'penstock[native]'" in error
    assert native.built(root) == [native.MODULES[0]]  # what was there is still there
