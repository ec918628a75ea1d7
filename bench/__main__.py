"""``python -m bench``: all benchmarks, one after the other, each quick.

Each is a process of its own, so none pays for the memory or the modules of another. The figures are
left in ``bench/out/``: a benchmark writes them itself, or prints them as JSON in its last line.
Then the picture of all figures is drawn, ``bench/out/performance.svg``.

With ``--full`` they take their time, and picture and figures go into the documentation.

    python -m bench [--full] [NAME ...]
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys

from bench import page, picture, report
from bench.harness import ROOT

# name -> how it is called to be quick, and in full
BENCHMARKS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "sign": ((), ("--seconds=5",)),
    "classify": ((), ("--seconds=5",)),
    "schedule": ((), ()),
    "queue": ((), ()),
    "relay": (("--count=3000",), ("--rounds=5", "--patience=300", "--compiled")),
    "scale": ((), ("--full",)),
    "workers": (("--rounds=1",), ("--rounds=5",)),
    "isolation": ((), ("--full",)),
    "path": ((), ("--count=20000",)),
    "latency": (("--seconds=3", "--count=3000"), ("--seconds=10",)),
    "inject": (("--seconds=2",), ()),
    "limits": ((), ("--full",)),
    "fairness": ((), ("--full",)),
    "adaptive": ((), ("--draw",)),
    "idle": ((), ("--full",)),
    "suppression": (("--count=300000", "--lookups=50000"), ("--count=10000000",)),
    "tls": (("--count=2000",), ("--count=20000", "--rounds=5")),
    "warmup": (("--days=10",), ("--draw",)),
}


def _run(name: str, full: bool) -> int:
    """The exit code; what it prints is passed on as it comes."""
    last = ""
    command = [sys.executable, "-u", "-m", f"bench.{name}", *BENCHMARKS[name][full]]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith("{"):
                print(line, end="", flush=True)
            last = line
    if last.startswith("{"):
        report.save(name, json.loads(last))
    return process.returncode


def _draw(path: pathlib.Path) -> None:
    try:
        picture.draw(path)
    except ImportError:
        print("no picture: matplotlib is not installed (pip install 'penstock[bench]')")


def main() -> int:
    """Run those that are named, or all; the exit code says whether all succeeded."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--full", action="store_true", help="for figures that go into the docs")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    options = parser.parse_args()
    names = options.names or list(BENCHMARKS)
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    report.OUT.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names:
        report.console().rule(name)
        if _run(name, options.full):
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
        return 1
    _draw(picture.DOCS if options.full else report.OUT / "performance.svg")
    if options.full:
        page.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
