"""``python -m tests.fuzz.run TARGET --seconds N``: one target under atheris (libFuzzer).

Starts from the corpus in the repository, keeps what it discovers in a directory of its own, and
fails where an input breaks an invariant, takes over 10 seconds, or makes the process grow beyond
1 GiB; the input is left there, and ``tests/fuzz/test_corpus.py`` replays it once it is moved into
the corpus. Needs ``pip install '.[fuzz]'``.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

TARGETS = ("session", "reply", "address", "segment", "headers", "report")
CORPUS = Path(__file__).parent / "corpus"
HANG_S = 10
MEMORY_MIB = 1024


def main(arguments: list[str] | None = None) -> None:
    options = parse_options(arguments)
    try:
        import atheris
    except ImportError:
        sys.exit("The fuzzers need atheris, which is not installed: pip install '.[fuzz]'")
    with atheris.instrument_imports(include=["penstock", "penstock_queue", "aiosmtpd"]):
        target = import_module(f"tests.fuzz.{options.target}")
    work = Path(options.work) / options.target
    found = work / "found"
    found.mkdir(parents=True, exist_ok=True)
    words = work / "words"
    words.write_text("".join(f'"{_escaped(token)}"\n' for token in target.TOKENS))
    atheris.Setup(
        [
            sys.argv[0], f"-max_total_time={options.seconds}", f"-max_len={target.BYTES_MAX}",
            f"-timeout={HANG_S}", f"-rss_limit_mb={MEMORY_MIB}", f"-dict={words}",
            f"-artifact_prefix={work}/", "-print_final_stats=1", "-len_control=20",
            str(found), str(CORPUS / options.target),
        ],
        target.check,
    )  # fmt: skip
    atheris.Fuzz()


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--work", default="var/fuzz", help="where discoveries are kept")
    return parser.parse_args(arguments)


def _escaped(token: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token)


if __name__ == "__main__":
    main()
