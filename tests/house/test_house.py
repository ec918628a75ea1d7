"""The house keeps its shape: source roots, layers' guard, no shadowed standard library."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_import_queue_from_the_root_is_the_standard_library() -> None:
    code = "import queue, sys; print(queue.__file__); queue.SimpleQueue"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (
        pathlib.Path(out.stdout.strip()).parent == pathlib.Path(sys.modules["os"].__file__).parent
    )


def test_source_roots_hold_no_modules_of_their_own() -> None:
    assert not list((ROOT / "engine").glob("*.py"))
    assert not list((ROOT / "queue").glob("*.py"))


def test_constraints_pin_everything_with_hashes_and_name_no_index() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    names = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert names
    assert all("==" in line and line.endswith("\\") for line in names)


def test_both_packages_are_typed() -> None:
    assert (ROOT / "engine/penstock/py.typed").exists()
    assert (ROOT / "queue/penstock_queue/py.typed").exists()
