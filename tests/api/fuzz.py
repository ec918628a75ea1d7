"""schemathesis over the OpenAPI document of a daemon that it starts: ``python -m tests.api.fuzz``.

The daemon is live, so that keys are really asked for, and every domain is routed to a port where
nobody listens, so that no mail goes anywhere. Requests that fit the document and requests that do
not are made from it, alone and in chains (what one answer names is asked for next). A finding is

- an answer of 5xx, or one that is not what the document says (status, media type, schema, headers);
- data that fits the document and is refused with a 400, or data that does not and is accepted;
- a request without a key, or with a wrong one, that is answered;
- and, looked for at the end: a worker that was restarted, an exception in the daemon's log, or
  memory that grew.

Each finding is shown with the request as a curl command and a seed; ``--seed`` and ``--only`` run
it again. What the document cannot say (that a text must be an address, say) is no finding: 422 is
allowed for data that fits it. Reports go to ``--report``.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from tests.api.conftest import ApiDaemon
from tests.daemon.conftest import ROOT

CONFIG = pathlib.Path(__file__).with_name("schemathesis.toml")
HEAD = 'delivery = "live"'
API = "refusal_delay_max_s = 0"
NOWHERE = '[[route]]\ndomains = ["*"]\nnext_hop = "127.0.0.1:1"\n'
# By operation id. A key that revokes itself ends the run, an upgrade replaces who is watched, and a
# stream has no end.
APART = {"revoke_key"}
NEVER = {"daemon.upgrade", "events.stream"}
# A message that was cancelled can be looked at still, and so can the last state of a key and of an
# address. That check is made of a whole chain of calls: it cannot be left out for one route alone.
NOT_CHECKED = ("use_after_free",)
MEMORY_MAX = 400 << 20
APART_SECONDS_MAX = 20


def fuzz(
    daemon: ApiDaemon, seconds: int, only: str = "", seed: int | None = None, report: str = ""
) -> list[str]:
    """Findings, as lines; none is what is hoped for. The output of schemathesis goes to ours."""
    pids = daemon.worker_pids()
    key = daemon.call("keys.create", scopes=["send", "read", "admin"])["secret"]
    excluded = "|".join(sorted(APART | NEVER))
    runs = [(seconds, ["--exclude-operation-id-regex", f"^({excluded})$"])]
    runs.append((min(seconds, APART_SECONDS_MAX), ["--include-operation-id", *APART]))
    if only:
        runs = [(seconds, ["--include-path-regex", only, *runs[0][1]])]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    found = []
    for number, (budget, which) in enumerate(runs):
        phases = "examples,coverage,fuzzing" + (",stateful" if number == 0 else "")
        code = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"),
                *(f"{daemon.url}/openapi.json", "--phases", phases, "--max-time", str(budget)),
                *("--header", f"Authorization: Bearer {key}", "--checks", "all"),
                *("--exclude-checks", ",".join(NOT_CHECKED)),
                *("--continue-on-failure", "--request-timeout", "20"),
                *("--suppress-health-check", "all"),
                *(("--seed", str(seed)) if seed is not None else ()),
                *(
                    ("--report", "junit,vcr", "--report-dir", os.path.abspath(f"{report}/{number}"))
                    if report
                    else ()
                ),
                *which,
            ],
            check=False,
            cwd=daemon.home,  # it keeps things where it runs
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            timeout=budget * 3 + 120,
        ).returncode
        if code:
            found.append(f"schemathesis found something (exit code {code}); see above")
    return found + after(daemon, pids)


def after(daemon: ApiDaemon, pids: list[int]) -> list[str]:
    """What the run did to the daemon."""
    found = []
    if daemon.worker_pids() != pids:
        found.append("a worker was restarted")
    log = daemon.text()
    for sign in ("Traceback (most recent call last)", "an API request failed", "[error"):
        if sign in log:
            where = log.index(sign)
            found.append(f"in the daemon's log:\n{log[max(0, where - 500) : where + 3000]}")
            break
    for pid in daemon.worker_pids():
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        size = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) << 10  # type: ignore[index]
        if size > MEMORY_MAX:
            found.append(f"a worker has {size >> 20} MiB")
    return found


def start(home: pathlib.Path, workers: int = 1) -> ApiDaemon:
    daemon = ApiDaemon(home, API, NOWHERE, HEAD, workers)
    daemon.start()
    return daemon


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--only", default="", help="a regular expression of paths")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--report", default="", help="a directory for JUnit and cassettes")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        daemon = start(pathlib.Path(home), given.workers)
        try:
            found = fuzz(daemon, given.seconds, given.only, given.seed, given.report)
        finally:
            daemon.end()
    print("\n".join(found) or "nothing found")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
