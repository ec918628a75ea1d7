"""The reference page of metrics, written from the table: ``python -m penstock.events.reference``.

Prints the page; with a path as argument writes it there (``docs/reference/metrics.md``).
"""

from __future__ import annotations

import sys
from pathlib import Path

from penstock.events.definition import LABEL_VALUES_MAX, Definition
from penstock.events.definitions import DEFINITIONS
from penstock.events.exposition import Merged

_HEAD = f"""\
# Metrics

The daemon shows these at `/metrics`, in Prometheus' text format or, where the client asks for it,
in OpenMetrics. Counters and histograms are sums over all workers and go on when a worker is
replaced. A label without a fixed set of values keeps the first {LABEL_VALUES_MAX} it meets; later
values are counted as `other` and in `penstock_metric_labels_capped_total`.

This page is generated: `python -m penstock.events.reference docs/reference/metrics.md`.
"""


def render() -> str:
    """The page as Markdown."""
    parts = [_HEAD, "| metric | kind | labels | what it says |", "|---|---|---|---|"]
    parts += [_row(definition) for definition in DEFINITIONS]
    parts += ["", "## Of each process", "", "| metric | kind | labels | what it says |"]
    parts += ["|---|---|---|---|"]
    known = {definition.name for definition in DEFINITIONS}
    for family in Merged({}, {}).collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if name not in known:
            parts.append(f"| `{name}` | {family.type} | `process` | {family.documentation} |")
    parts += ["", "## Labels", "", "| label | values |", "|---|---|"]
    labels = {label for definition in DEFINITIONS for label in definition.labels}
    for label in sorted(labels, key=lambda one: (one.name, one.values, one.help)):
        values = ", ".join(f"`{value}`" for value in label.values if value)
        parts.append(f"| `{label.name}` | {label.help}{': ' + values if values else ''} |")
    parts += ["", "## Buckets", "", "| histogram | upper bounds |", "|---|---|"]
    for definition in DEFINITIONS:
        if definition.buckets:
            bounds = ", ".join(f"{bound:g}" for bound in definition.buckets)
            parts.append(f"| `{definition.name}` | {bounds} |")
    return "\n".join(parts) + "\n"


def _row(definition: Definition) -> str:
    labels = ", ".join(f"`{name}`" for name in definition.label_names)
    text = definition.help
    if definition.merge == "max":
        text += " The greatest of all workers."
    return f"| `{definition.name}` | {definition.kind} | {labels} | {text} |"


def main(arguments: list[str]) -> int:
    if not arguments:
        sys.stdout.write(render())
        return 0
    Path(arguments[0]).write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
