"""``python -m bench``: all benchmarks, one after the other, each quick.

Each is a process of its own, so none pays for the memory or the modules of another. The figures are
left in ``bench/out/``: a benchmark writes them itself, or prints them as JSON in its last line.
"""

from __future__ import annotations

import json
import subprocess
import sys

from bench import report
from bench.harness import ROOT

BENCHMARKS = ("sign", "schedule", "queue", "relay", "scale")


def _run(name: str) -> int:
    """The exit code; what it prints is passed on as it comes."""
    last = ""
    command = [sys.executable, "-u", "-m", f"bench.{name}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith("{"):
                print(line, end="", flush=True)
            last = line
    if last.startswith("{"):
        report.save(name, json.loads(last))
    return process.returncode


def main() -> int:
    """Run those that are named, or all; the exit code says whether all succeeded."""
    names = sys.argv[1:] or BENCHMARKS
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    report.OUT.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names:
        report.console().rule(name)
        if _run(name):
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
