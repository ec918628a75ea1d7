"""What lives for months brings along nothing that draws."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("name", ["structlog", "httpx"])
def test_a_library_comes_without_rich_and_rich_afterwards(name: str) -> None:
    code = (
        "import sys\n"
        "from penstock import lean\n"
        f"lean.load({name!r})\n"
        f"assert {name!r} in sys.modules\n"
        "assert not [one for one in sys.modules if one.startswith('rich')]\n"
        "import rich.table\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_rich_that_is_there_stays() -> None:
    code = (
        "import rich, sys\n"
        "from penstock import lean\n"
        "lean.load('structlog')\n"
        "assert sys.modules['rich'] is rich\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
