"""The suppression list with very many addresses: memory, size on disk, look-ups, import.

A CSV file of so many addresses, in no order and of several tenants, is imported as the command
does it; then another process asks for some that are on the list and some that are not. The file is
mapped into memory, so what a process has resident is at most the file and what Python needs; it is
the same memory for all processes.

    python -m bench.suppression [--count 10000000] [--lookups 200000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench import report
from bench.harness import scratch
from penstock.suppression.decide import SuppressionRules
from penstock.suppression.entry import Entry
from penstock.suppression.rows import Meaning, Row, read_rows
from penstock.suppression.store import Store, StoreConfig, Suppressions
from penstock.suppression.transfer import import_rows
from penstock.suppression.writer import SuppressionWriter

TENANTS = ("", "shop", "news", "billing")
DOMAINS = ("gmail.com", "yahoo.com", "outlook.com", "mail.ru", "web.de", "icloud.com")
NAMES = ("anna", "ben", "carla", "dmitri", "elena", "farid", "greta", "henrik", "ines", "jo")
STEP = 7_368_787  # a prime: every number of a list comes once, in an order that seems none
TARGET_US, TARGET_BYTES = 5.0, 1 << 30
CONFIG = StoreConfig(map_bytes=8 << 30)


def address(number: int) -> str:
    """24 characters on average."""
    name, other = NAMES[number % 10], NAMES[number // 10 % 10]
    domain = DOMAINS[number % 6] if number % 7 else f"host{number % 9973}.example"
    return f"{name}.{other}{number // 6}@{domain}"


def tenant(number: int) -> str:
    return TENANTS[number % len(TENANTS)]


def write_file(path: pathlib.Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as out:
        out.write("address,tenant,reason,since\n")
        for place in range(count):
            number = place * STEP % count
            reason = ("bounce:bad-mailbox", "unsubscribe", "manual")[number % 3]
            since = 1_700_000_000 + number
            out.write(f"{address(number)},{tenant(number)},{reason},{since}\n")


def fill(directory: str, count: int) -> None:
    """Put so many addresses on the list."""
    if count:
        store = Store(directory, CONFIG)
        every = (
            Row(number, (Entry(address(number), tenant(number), since=1.7e9),))
            for number in range(count)
        )
        import_rows(SuppressionWriter(store), every)
        store.close()


def run_import(directory: str, path: pathlib.Path) -> dict[str, float]:
    store = Store(directory, CONFIG)
    writer = SuppressionWriter(store)
    began = time.monotonic()
    with path.open("rb") as file:
        meaning = Meaning(store.spelling, SuppressionRules(), time.time())
        done = import_rows(writer, read_rows(file, "csv", meaning))
    took = time.monotonic() - began
    assert not done.bad
    result = {"import_s": took, "rows_per_s": done.rows / took, "addresses": done.written}
    return result | {"import_own_mib": memory_mib("RssAnon"), "file_bytes": store.usage().bytes}


def run_lookups(directory: str, count: int, lookups: int) -> dict[str, float]:
    began = time.monotonic()
    suppressions = Suppressions(Store(directory, CONFIG, readonly=True))
    result = {"open_ms": (time.monotonic() - began) * 1e3}
    numbers = [place * 104_729 % count for place in range(lookups)]
    hits = [(address(number), tenant(number) or "shop") for number in numbers]
    misses = [(one.replace("@", "z@"), whose) for one, whose in hits]
    assert all(suppressions.entries(*one) for one in hits[:1000])
    for name, asked in (("hit", hits), ("miss", misses)):
        for rounds in range(2):  # the first brings the pages into memory
            times = timed(suppressions.find, asked)
            if rounds:
                result[f"{name}_us"] = times[len(times) // 2] / 1e3
                result[f"{name}_p99_us"] = times[len(times) * 99 // 100] / 1e3
    for _ in suppressions.store.walk():
        pass  # now every page of it is mapped
    return result | {"resident_mib": memory_mib("VmRSS"), "own_mib": memory_mib("RssAnon")}


def timed(find: Callable[..., Entry | None], asked: Sequence[tuple[str, str]]) -> list[int]:
    now, clock = time.time(), time.perf_counter_ns
    times = []
    for one, whose in asked:
        start = clock()
        find(one, whose, "bulk", now)
        times.append(clock() - start)
    return sorted(times)


def memory_mib(field: str) -> float:
    lines = pathlib.Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def rows_of(found: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    mib = found["file_bytes"] / (1 << 20)
    yield "addresses", f"{found['addresses']:,.0f}", ""
    yield "file", f"{mib:.0f} MiB", "<= 1024 MiB"
    yield "an address on disk", f"{found['file_bytes'] / found['addresses']:.1f} bytes", ""
    yield "resident, every page of the file mapped", f"{found['resident_mib']:.0f} MiB", ""
    yield "of which a process's own", f"{found['own_mib']:.0f} MiB", ""
    yield "import", f"{found['rows_per_s']:,.0f} rows/s", ""
    yield "its duration", f"{found['import_s']:.0f} s", ""
    yield "its own memory at the end", f"{found['import_own_mib']:.0f} MiB", ""
    for name, text in (("hit", "on the list"), ("miss", "not on it")):
        yield f"look-up, {text}: median", f"{found[f'{name}_us']:.2f} us", f"<= {TARGET_US:g} us"
        yield f"look-up, {text}: p99", f"{found[f'{name}_p99_us']:.2f} us", ""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.suppression")
    parser.add_argument("--count", type=int, default=1_000_000, help="addresses")
    parser.add_argument("--lookups", type=int, default=200_000)
    parser.add_argument("--json", type=pathlib.Path, help="default: bench/out/suppression.json")
    options = parser.parse_args(arguments)
    processes = multiprocessing.get_context("spawn")
    with scratch() as directory:
        path, list_ = directory / "list.csv", str(directory / "suppression")
        write_file(path, options.count)
        found: dict[str, Any] = {}
        for work, more in ((run_import, (path,)), (run_lookups, (options.count, options.lookups))):
            with processes.Pool(1) as pool:
                found |= pool.apply(work, (list_, *more))
    report.show("The suppression list", ("", "measured", "wanted"), list(rows_of(found)))
    report.save("suppression", found, options.json)
    print(json.dumps(found))
    good = max(found["hit_us"], found["miss_us"]) <= TARGET_US
    return 0 if good and found["file_bytes"] <= TARGET_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
