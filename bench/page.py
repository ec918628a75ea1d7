"""The generated part of ``docs/performance.md``: figures, machine, targets, from ``bench/out/``.

What stands outside the two marks is written by people and stays as it is.

    python -m bench.page
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bench import report
from bench.harness import ROOT
from bench.latency import FIGURES, PERCENTILES

PAGE = ROOT / "docs/performance.md"
BEGIN = "<!-- figures: begin; written by `python -m bench.page`, from `make bench-full` -->"
END = "<!-- figures: end -->"


def write() -> None:
    """Put the figures between the marks. Raises ``ValueError`` where the page has none."""
    text = PAGE.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} lacks the marks of the figures")
    PAGE.write_text(f"{head}{BEGIN}\n\n{figures()}\n{END}{tail}", encoding="utf-8")


def figures() -> str:
    """Markdown: a section for each benchmark that has run."""
    sections = [
        _targets(),
        *(_relay(report.load("relay"))),
        _latency(report.load("latency")),
        _inject(report.load("inject")),
        _tls(report.load("tls")),
        _sign(report.load("sign")),
        _depth(report.load("scale")),
        *_scale(report.load("scale")),
        _isolation(report.load("isolation")),
        _path(report.load("path")),
    ]
    return "\n".join(
        [_machine(), "![The figures as bars](performance.svg)\n", *filter(None, sections)]
    )


def _machine() -> str:
    found = [one["machine"] for one in map(report.load, ("relay", "latency", "sign")) if one]
    if not found:
        return "Nothing was measured yet.\n"
    m = found[0]
    return (
        f"Measured on {m['date']}: {m['cpu']}, {m['cpus']} cores that servers, injector and next "
        f"hop share, {m['memory_gib']} GiB, Linux {m['kernel']}, queues on {m['disk']}, "
        f"Python {m['python']}.\n"
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _targets() -> str:
    verdicts = []
    for name in ("relay", "latency"):
        verdicts += (report.load(name) or {}).get("verdicts", [])
    if not verdicts:
        return ""
    rows = [(v["what"], v["target"], "yes" if v["met"] else "**no**") for v in verdicts]
    return "### Targets\n\n" + _table(("reached", "target", "met"), rows)


def _relay(relay: Mapping[str, Any] | None) -> list[str]:
    sections = []
    for what, result in (relay or {"results": {}})["results"].items():
        assert relay is not None
        middle = result["median"]
        ours, rows = middle["penstock"], []
        for name, one in middle.items():
            rates = [each["messages_per_s"] for each in result["rounds"][name]]
            rows.append(
                (
                    name,
                    f"{one['messages_per_s']:,.0f}",
                    f"{min(rates):,.0f}–{max(rates):,.0f}",
                    f"{one['cpu_ms']:.3f}",
                    f"{one['peak_mib']:.0f}",
                    f"{ours['messages_per_s'] / one['messages_per_s']:.2f}",
                    f"{one['cpu_ms'] / ours['cpu_ms']:.2f}",
                )
            )
        columns = (
            *("", "messages/s", "range", "CPU ms/message", "peak MiB"),
            *("we are faster, times", "CPU of ours, times"),
        )
        text = f"### Relay, {what}\n\n{_table(columns, rows)}\nMedians of {relay['rounds']} rounds."
        if "ours" in result:
            text += f" We are {result['ours']}, which relays most here of those tried."
        if any(name.endswith("compiled") for name in middle):
            text += " Compiled: as `make native` makes it."
        if result["missing"]:
            text += f" Not there: {', '.join(result['missing'])}."
        busiest = max(r["foreign"] for rounds in result["rounds"].values() for r in rounds)
        sections.append(f"{text} Other work kept at most {busiest:.2f} CPUs busy.\n")
    return sections


def _latency(latency: Mapping[str, Any] | None) -> str:
    if latency is None:
        return ""
    rows = [
        (
            f"{load['share']:.0%}, {load['rate']:,.0f}/s",
            label,
            *(f"{load[key][name]:.1f}" for name in PERCENTILES),
        )
        for load in latency["loads"]
        for key, label in FIGURES.items()
    ]
    return (
        f"### Latency\n\n{_table(('load', 'milliseconds', *PERCENTILES), rows)}\n"
        f"Of a maximum of {latency['maximum_per_s']:,.0f} messages/s with {latency['workers']} "
        "workers, every message synced before its 250. Accept and end to end count from the time "
        "a message was due by the timetable, so waiting is in them; end of data counts from the "
        "final dot.\n"
    )


def _inject(inject: Mapping[str, Any] | None) -> str:
    if inject is None:
        return ""
    rows = [
        (
            f"{one['kind']}, {one['way']}",
            f"{one['a_core_per_s']:,.0f}",
            f"{one['target']:,}",
            f"{one['per_s']:,.0f}",
            f"{one['cpu_us'] / 1e3:.3f}",
            *(f"{one['paced_ms'][name]:.1f}" for name in ("p50", "p99")),
        )
        for one in inject["results"]
    ]
    columns = (
        *("", "messages/s a core", "target", "messages/s", "CPU ms/message"),
        *("p50 ms", "p99 ms"),
    )
    return (
        f"### Injection over HTTP, one worker\n\n{_table(columns, rows)}\n"
        "A core: a second of CPU of the worker. Held mail is for later, so only taking it in "
        "counts; of mail that is delivered meanwhile, the delivery counts as well. The times are "
        "those of a call at half of the target; a call of *templated* has 1,000 recipients.\n"
    )


def _tls(tls: Mapping[str, Any] | None) -> str:
    if tls is None:
        return ""
    rows = [
        (
            name,
            f"{one['messages_per_s']:,.0f}",
            f"{one['cpu_ms']:.3f}",
            f"{one['handshakes_full']:,}",
            f"{one['handshakes_resumed']:,}",
        )
        for name, one in tls["results"].items()
    ]
    columns = ("messages", "messages/s", "CPU ms/message", "full handshakes", "resumed")
    return (
        f"### STARTTLS to the next hop\n\n{_table(columns, rows)}\n"
        f"Medians of {tls['rounds']} rounds; handshakes of all rounds.\n"
    )


def _sign(sign: Mapping[str, Any] | None) -> str:
    if sign is None:
        return ""
    rows = [
        (
            {"rsa": "RSA-2048", "ed25519": "Ed25519"}.get(kind, kind),
            *(f"{one[key]:.0f}" for key in ("penstock_us", "dkimpy_us")),
            f"{one['ratio']:.1f}",
            *(f"{one[key]:.0f}" for key in ("arithmetic_us", "rest_us")),
        )
        for kind, one in sign["results"].items()
    ]
    columns = ("CPU µs a signature", "penstock", "dkimpy", "times", "the key alone", "the rest")
    return f"### DKIM signing of {sign['bytes']:,} bytes\n\n{_table(columns, rows)}"


def _scale(scale: Mapping[str, Any] | None) -> list[str]:
    sections = []
    for what, column, note in (
        ("workers", "workers", "workers"),
        ("domains", "domains", "destination domains"),
    ):
        found = (scale or {}).get(what)
        if not found:
            continue
        rows = [
            (
                f"{row[column]:,}",
                f"{row['accept_per_s']:,.0f}",
                f"{row['deliver_per_s']:,.0f}",
                f"{row['cpu_ms']:.3f}",
            )
            for row in found
        ]
        columns = (note, "accepted/s", "delivered/s", "CPU ms/message")
        sections.append(f"### Scale: {note}\n\n{_table(columns, rows)}")
    return sections


def _depth(scale: Mapping[str, Any] | None) -> str:
    found = (scale or {}).get("depth")
    if not found:
        return ""
    rows = [
        (
            f"{row['queued']:,}",
            f"{row['resident_mib']:,.0f}",
            f"{row['restart_s']:.1f}",
            f"{row['restart_cpu_s']:.1f}",
            f"{row['accept_per_s']:,.0f}",
            f"{row['deliver_per_s']:,.0f}",
            f"{row['cpu_ms']:.3f}",
            f"{row['ratio']:.0%}",
        )
        for row in found
    ]
    columns = (
        *("messages in the queue already", "resident MiB", "restart s", "its CPU s"),
        *("accepted/s", "delivered/s", "CPU ms/message", "of the rate with 1,000"),
    )
    return (
        f"### Depth\n\n{_table(columns, rows)}\n"
        "Resident memory of all processes. A restart is one after `kill -9`, with nothing of the "
        "queue in the page cache, until mail is taken again.\n"
    )


def _isolation(isolation: Mapping[str, Any] | None) -> str:
    if isolation is None:
        return ""
    rows = [
        (name, *(f"{1e3 * isolation[key][figure]:.1f}" for figure in ("p50_s", "p99_s")))
        for key, name in (("empty", "nothing else queued"), ("burdened", "with the burden"))
    ]
    return (
        f"### Destinations that do not work\n\n{_table(('ms to delivery', 'p50', 'p99'), rows)}\n"
        f"{isolation['burden']:,} messages queued for destinations that refuse, say nothing, are "
        "busy or slow, beside a steady load for others: its p99 changes by "
        f"{isolation['p99_change']:+.0%}.\n"
    )


def _path(path: Mapping[str, Any] | None) -> str:
    if path is None:
        return ""
    rows = [
        (name, f"{us:.0f}", f"{us / path['us']:.0%}")
        for name, us in sorted(path["rooms"].items(), key=lambda item: -item[1])
    ]
    return (
        f"### The path of a message\n\n{_table(('room', 'CPU µs', 'share'), rows)}\n"
        f"{path['us']:.0f} µs a message of 10 KiB in one worker, which samples itself "
        "(`python -m bench.path`).\n"
    )


if __name__ == "__main__":
    write()
    sys.exit(0)
