"""``warmup/NAME.toml`` as plans, with what contradicts in them and in who names them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from penstock.policy.egress import Source
from penstock.policy.merge import place_of, places_of
from penstock.policy.problem import Path, quoted, suggestion
from penstock.policy.source_models import SourcesFile
from penstock.policy.validation import Checked
from penstock.policy.warmup import OTHER, Gates, Plan, Stages
from penstock.policy.warmup_models import WarmupFile, WarmupProviderTable


def load_plan(name: str, checked: Checked[WarmupFile]) -> Plan | None:
    """The plan of one file; ``None`` where nothing of it can be understood."""
    file = checked.value
    if file is None:
        return None
    _check_rises(("messages",), file.messages, checked)
    return Plan(
        name,
        _part(file.messages, file.share),
        MappingProxyType(
            {
                provider: _stages(("provider", provider), table, file.messages, checked)
                for provider, table in file.provider.items()
            }
        ),
        file.hours,
        file.hour_max,
        file.transactional,
        file.idle_days,
        file.step_back,
        Gates(**file.gates.model_dump()),
        at=place_of(checked, ()),
        places=places_of(file, checked, ()),
    )


def _stages(
    path: Path, table: WarmupProviderTable, messages: Stages, checked: Checked[WarmupFile]
) -> Stages:
    if (table.share is None) == (table.messages is None):
        checked.contradict(
            path,
            "a provider needs either share or messages",
            about=[(*path, "share"), (*path, "messages")],
        )
        return messages
    if table.messages is not None:
        _check_rises((*path, "messages"), table.messages, checked)
        return table.messages
    share = table.share or 0.0
    if not share:
        checked.contradict((*path, "share"), "a share of 0 sends nothing", about=[(*path, "share")])
    return _part(messages, share)


def _part(messages: Stages, share: float) -> Stages:
    return tuple(max(1, int(one * share)) for one in messages)


def _check_rises(path: Path, messages: Stages, checked: Checked[WarmupFile]) -> None:
    for index in range(1, len(messages)):
        if messages[index] < messages[index - 1]:
            checked.contradict(
                (*path, index),
                f"{messages[index]} is less than the {messages[index - 1]} of the stage before",
                "the stages of a plan rise",
                about=[path],
            )
            return


def check_providers(plan: Plan, checked: Checked[WarmupFile], known: Collection[str]) -> None:
    """Whoever a plan names must be a provider that there is."""
    names = [*known, OTHER]
    for provider in plan.by_provider:
        if provider not in names:
            checked.contradict(
                ("provider", provider),
                f"there is no provider {quoted(provider)}",
                suggestion(provider, names, "providers"),
            )


def check_plans(
    sources: Mapping[str, Source], checked: Checked[SourcesFile], plans: Collection[str]
) -> None:
    """The plan that a source names must be one that there is."""
    for name, source in sources.items():
        if source.warmup and source.warmup not in plans:
            checked.contradict(
                ("source", name, "warmup"),
                f"there is no warm-up plan {quoted(source.warmup)}",
                suggestion(source.warmup, plans, "plans") or "write one as warmup/NAME.toml",
                about=[("source", name, "warmup")],
            )
