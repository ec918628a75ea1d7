"""The rooms on the path of a message as machine code, by mypyc: an eighth less CPU a message.

Optional: nothing of the engine needs it, and nobody gets it without asking.

    python -m penstock.native build | clean | status

Each module's extension lies beside its source, where Python finds it first. So it must not outlive
its source: the build notes the digests of the sources, ``status`` names those that are others now,
and neither the daemon nor the tests run with them.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).resolve().parent
# Without whatever inherits from classes of libraries, imports its importers (the compiler's code
# breaks at that), or is seldom run: there is nothing to win.
# fmt: off
_ROOMS = {
    "smtp": (
        "client_reply", "content", "data", "grammar", "path", "reply",
    ),
    "mail": (
        "address", "envelope", "headers", "outcome", "record", "verdict",
    ),
    "intake": (
        "accept", "control", "sifting", "submission", "transaction",
    ),
    "events": (
        "attempts", "escape", "journal", "making", "metrics", "pulse", "stamps",
    ),
    "schedule": (
        "branch", "classes", "clock", "intqueue", "lane", "node", "pace", "rate", "ready",
        "retry", "rotation", "shares", "tree",
    ),
    "limits": (
        "local", "promises", "table",
    ),
    "relay": (
        "build", "content", "exchange", "ledger", "peer", "permit", "report", "screening",
        "settle", "spool", "stage", "tally", "telemetry",
    ),
    "worker": (
        "sink",
    ),
}
# fmt: on
MODULES = tuple(f"{room}/{name}" for room, names in _ROOMS.items() for name in names)
_NOTE = "_native.json"
SUFFIXES = tuple(importlib.machinery.EXTENSION_SUFFIXES)
# The compiler must believe what libraries without types say of themselves.
_TYPES = "[mypy]\nignore_missing_imports = True\nfollow_imports = silent\n"
_BUILD = """\
import sys
from mypyc.build import mypycify
from setuptools import setup
types, target, *files = sys.argv[1:]
extensions = mypycify(["--config-file", types, *files], opt_level="3", target_dir=target)
script = ["--quiet", "build_ext", "--inplace", "--build-temp", target, "--build-lib", target]
setup(name="penstock-native", ext_modules=extensions, script_args=script)
"""


def extensions(root: pathlib.Path = ROOT) -> list[pathlib.Path]:
    """Those that are there, whichever Python they are for."""
    found = [path for path in root.rglob("*.so") if path.name.count(".") > 1]
    return sorted([*found, *root.parent.glob("*__mypyc.*.so")])


def built(root: pathlib.Path = ROOT) -> list[str]:
    """The modules that this Python runs as machine code, as in ``MODULES``."""
    return [one for one in MODULES if _extension(root / one) is not None]


def stale(root: pathlib.Path = ROOT) -> list[str]:
    """The modules whose source is another one now: Python runs what they were."""
    compiled = built(root)
    if not compiled:
        return []
    try:
        noted = json.loads((root / _NOTE).read_text())
    except (OSError, ValueError):
        noted = {}
    return [one for one in compiled if noted.get(one) != _digest(root / one)]


def _digest(module: pathlib.Path) -> str:
    # not by the times of files: those in a wheel are the same in each release
    return hashlib.sha256(module.with_suffix(".py").read_bytes()).hexdigest()


def _extension(module: pathlib.Path) -> pathlib.Path | None:
    places = (module.with_name(module.name + suffix) for suffix in SUFFIXES)
    return next((place for place in places if place.exists()), None)


def build(root: pathlib.Path = ROOT) -> int:
    """Compile all of them; the compiler's exit code. All or none: half a build would mix objects
    of one class in two forms."""
    try:
        import mypyc.build  # noqa: F401
        import setuptools  # noqa: F401
    except ImportError as error:
        print(f"penstock.native: {error}; pip install 'penstock[native]'", file=sys.stderr)
        return 2
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        print("penstock.native: no C compiler (cc, gcc or clang) is installed", file=sys.stderr)
        return 2
    clean(root)
    files = [str(pathlib.Path(root.name, f"{one}.py")) for one in MODULES]
    with tempfile.TemporaryDirectory(prefix="penstock-native-") as target:
        types = pathlib.Path(target, "types.ini")
        types.write_text(_TYPES)
        command = [sys.executable, "-c", _BUILD, str(types), target, *files]
        done = subprocess.run(command, cwd=root.parent, check=False)  # noqa: S603
    if done.returncode:
        clean(root)
    else:
        digests = {one: _digest(root / one) for one in MODULES}
        (root / _NOTE).write_text(json.dumps(digests))
    return done.returncode


def clean(root: pathlib.Path = ROOT) -> None:
    for path in extensions(root):
        path.unlink()
    (root / _NOTE).unlink(missing_ok=True)


def main(arguments: Sequence[str]) -> int:
    match arguments:
        case ["build"]:
            code = build()
        case ["clean"]:
            clean()
            code = 0
        case ["status"]:
            code = 1 if stale() else 0
        case _:
            print("usage: python -m penstock.native build | clean | status", file=sys.stderr)
            return 2
    print(f"{len(built())} of {len(MODULES)} modules are compiled")
    for one in stale():
        print(f"{one}: the source is another; build or clean", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
