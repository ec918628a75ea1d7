"""``python -m penstock.sim.simulate --seeds N``: the whole engine, seed after seed.

Prints what went wrong with each bad seed and the command that replays it, then what happened over
all of them: faults by kind, and every duplicate by its reason. Ends with 1 where a seed was bad.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

from penstock.sim.whole import Result, simulate

_SLICE = 10
_BLAMES_MAX = 3


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.trace:
        result = simulate(options.start)
        print("\n".join(result.trace))
        digest = hashlib.sha256("\n".join(result.trace).encode()).hexdigest()[:16]
        print(f"{result.virtual_s:.0f} virtual seconds, trace {digest}")
        return _tell([result], time.monotonic())
    began = time.monotonic()
    seeds = range(options.start, options.start + options.seeds)
    results = _until(began + options.seconds, _run(seeds, options.jobs))
    return _tell(results, began, options.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m penstock.sim.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many (200)")
    parser.add_argument("--start", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--seconds", type=float, default=1e9, help="end after so long")
    parser.add_argument("--trace", action="store_true", help="run --start alone, tell everything")
    parser.add_argument("--json", default="", help="write the figures to this file")
    return parser


def _slice(seeds: range) -> list[Result]:
    results = []
    for seed in seeds:
        result = simulate(seed)
        result.trace = []
        results.append(result)
    gc.collect()
    return results


def _run(seeds: range, jobs: int) -> Generator[Result, None, None]:
    slices = [seeds[at : at + _SLICE] for at in range(0, len(seeds), _SLICE)]
    if jobs < 2:
        for one in slices:
            yield from _slice(one)
        return
    with ProcessPoolExecutor(jobs) as pool:
        futures = [pool.submit(_slice, one) for one in slices]
        try:
            for future in futures:
                yield from future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _until(end: float, results: Generator[Result, None, None]) -> Iterator[Result]:
    for result in results:
        yield result
        if time.monotonic() > end:
            results.close()
            return


def _tell(results: Iterable[Result], began: float, path: str = "") -> int:
    done = bad = 0
    duplicates: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for result in results:
        done += 1
        duplicates.update(result.duplicates)
        counts.update(result.counts)
        if result.wrong:
            bad += 1
            print(f"seed {result.seed}: {'; '.join(result.wrong[:_BLAMES_MAX])}")
            print(f"  replay: python -m penstock.sim.simulate --start {result.seed} --trace")
            sys.stdout.flush()
    total = sum(duplicates.values())
    print(f"{done} seeds, {bad} bad, {time.monotonic() - began:.0f} s")
    print(f"acknowledged deliveries {counts['acknowledged']}, copies taken {counts['copies']}")
    print(f"explained duplicates {total}")
    for reason, count in duplicates.most_common():
        print(f"  {count:6d} {reason}")
    print("what happened: " + ", ".join(f"{name} {n}" for name, n in sorted(counts.items())))
    if path:
        figures = {"seeds": done, "bad": bad, "duplicates": duplicates, "counts": counts}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
