"""Policy files to ``Policies``, or every problem in all of them.

Files are checked one by one, then together: two providers may not claim one MX suffix or domain,
two files not one site or domain, no merge of layers may come to limits that contradict, and who
names a source or a pool must name one that there is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from penstock.policy import validation
from penstock.policy.guard_models import GuardsFile
from penstock.policy.guards import Guard
from penstock.policy.limits import Limits, Provenance
from penstock.policy.load_guards import load_guards
from penstock.policy.load_narrows import check_sources, load_narrows
from penstock.policy.load_replies import load_replies
from penstock.policy.load_sources import Egress, load_egress
from penstock.policy.load_tenants import Senders, load_senders
from penstock.policy.load_warmup import check_plans, check_providers, load_plan
from penstock.policy.merge import EMPTY, Layer, layer_of, merge
from penstock.policy.models import DefaultFile, LimitsTable, NarrowTable, ProviderFile, site_name
from penstock.policy.names import parse_name
from penstock.policy.narrowing import Narrow
from penstock.policy.policies import Policies, Provider
from penstock.policy.problem import Path, Problem, in_order, quoted, suggestion
from penstock.policy.replies import ReplyRule, ReplyRules
from penstock.policy.reply_models import ReplyFile
from penstock.policy.source_models import SourcesFile
from penstock.policy.tenant_models import TenantsFile
from penstock.policy.toml import parse
from penstock.policy.units import duration_text
from penstock.policy.validation import Checked
from penstock.policy.warmup import Plan
from penstock.policy.warmup_models import WarmupFile

DEFAULT, SOURCES, TENANTS = "default.toml", "sources.toml", "tenants.toml"
GUARDS = "guards.toml"
FILES = (
    *(DEFAULT, "providers/NAME.toml", "replies/NAME.toml", SOURCES, TENANTS, GUARDS),
    "warmup/NAME.toml",
)
_PROVIDER = re.compile(r"providers/(?P<name>[^/]+)\.toml")
_REPLIES = re.compile(r"replies/[^/]+\.toml")
_CLAIMED = {
    "replies": "the provider",
    "mx": "the MX suffix",
    "domains": "the domain",
    "site": "site",
    "domain": "domain",
}
_WARMUP = re.compile(r"warmup/(?P<name>[^/]+)\.toml")
_PROVIDER_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,38}[a-z0-9])?")


def load_policies(
    files: Mapping[str, str], root: str = "policies", directory: str = ""
) -> Policies | list[Problem]:
    """``files``: text by name below ``root``, like ``"providers/gmail.toml"``; ``root`` stands
    before the names in problems and provenance; paths in the files count from ``directory``.
    Nothing is read here and nothing is raised."""
    loading = _Loading(root, directory)
    for name in sorted(files):
        loading.add(name, files[name])
    loading.check_names()
    policies = loading.policies()
    problems = in_order(loading.problems())
    return problems or policies


class _Loading:
    def __init__(self, root: str, directory: str) -> None:
        self._directory = directory
        self._root = f"{root.rstrip('/')}/" if root else ""
        self._checked: list[Checked[Any]] = []
        self._stray: list[Problem] = []
        self._claims: dict[tuple[str, str], tuple[Provenance, Path]] = {}
        self._default = EMPTY
        self._providers: dict[str, Provider] = {}
        self._sites: dict[str, Layer] = {}
        self._domains: dict[str, Layer] = {}
        self._narrows: list[tuple[Checked[Any], list[Narrow]]] = []
        self._egress = Egress()
        self._senders = Senders()
        self._guards: Mapping[str, Guard] = MappingProxyType({})
        self._replies: dict[str, tuple[ReplyRule, ...]] = {}
        self._of_sources: Checked[SourcesFile] | None = None
        self._plans: dict[str, tuple[Plan | None, Checked[WarmupFile]]] = {}

    def problems(self) -> list[Problem]:
        return self._stray + [problem for one in self._checked for problem in one.problems]

    def policies(self) -> Policies:
        return Policies(
            self._default,
            MappingProxyType(self._providers),
            MappingProxyType(self._sites),
            MappingProxyType(self._domains),
            tuple(narrow for _, narrows in self._narrows for narrow in narrows),
            self._egress.sources,
            self._egress.pools,
            self._senders.tenants,
            self._senders.classes,
            ReplyRules(MappingProxyType(self._replies)),
            MappingProxyType({name: plan for name, (plan, _) in self._plans.items() if plan}),
            self._guards,
        )

    def add(self, name: str, text: str) -> None:
        """Take in one file. The order of names serves: the providers build on ``default.toml``,
        ``tenants.toml`` on ``sources.toml``."""
        file = self._root + name
        provider = _PROVIDER.fullmatch(name)
        if name == DEFAULT:
            default = validation.check(DefaultFile, parse(text, file))
            self._checked.append(default)
            if default.value is not None:
                self._default = layer_of(default.value.limits, default, ("limits",))
                self._contradictions(default, ("limits",), [self._default])
                self._named_tables(default, [self._default])
                self._narrowings(default, default.value.narrow, "", [self._default])
        elif name == SOURCES:
            sources = validation.check(SourcesFile, parse(text, file))
            self._checked.append(sources)
            self._of_sources, self._egress = sources, load_egress(sources, self._directory)
        elif name == TENANTS:
            tenants = validation.check(TenantsFile, parse(text, file))
            self._checked.append(tenants)
            self._senders = load_senders(tenants, self._egress)
        elif name == GUARDS:
            guards = validation.check(GuardsFile, parse(text, file))
            self._checked.append(guards)
            self._guards = load_guards(guards)
        elif _REPLIES.fullmatch(name):
            replies = validation.check(ReplyFile, parse(text, file))
            self._checked.append(replies)
            if replies.value is not None:
                self._claim("replies", replies.value.provider, replies, ("provider",))
                self._replies[replies.value.provider] = load_replies(replies)
        elif (warmup := _WARMUP.fullmatch(name)) and _PROVIDER_NAME.fullmatch(warmup["name"]):
            plan = validation.check(WarmupFile, parse(text, file))
            self._checked.append(plan)
            self._plans[warmup["name"]] = load_plan(warmup["name"], plan), plan
        elif provider is None:
            hint = suggestion(name, FILES, "policy files")
            self._stray.append(Problem(file, 0, (), "not a policy file", hint))
        elif not _PROVIDER_NAME.fullmatch(provider["name"]):
            hint = "lower-case letters, digits and . _ - make a name, 40 at most"
            self._stray.append(Problem(file, 0, (), "the file name is no provider name", hint))
        else:
            checked = validation.check(ProviderFile, parse(text, file))
            self._checked.append(checked)
            if checked.value is not None:
                self._provider(provider["name"], checked.value, checked)

    def _provider(self, name: str, value: ProviderFile, checked: Checked[Any]) -> None:
        if not value.mx and not value.domains:
            message = "nothing tells this provider; mx or domains is needed"
            checked.contradict((), message, about=[("mx",), ("domains",)])
        for kind, names in (("mx", value.mx), ("domains", value.domains)):
            for index, claimed in enumerate(names):
                self._claim(kind, claimed, checked, (kind, index))
        layer = layer_of(value.limits, checked, ("limits",))
        self._providers[name] = Provider(name, value.mx, value.domains, layer)
        self._contradictions(checked, ("limits",), [self._default, layer])
        self._named_tables(checked, [self._default, layer])
        self._narrowings(checked, value.narrow, name, [self._default, layer])

    def _narrowings(
        self,
        checked: Checked[Any],
        tables: Sequence[NarrowTable],
        provider: str,
        below: list[Layer],
    ) -> None:
        narrows = load_narrows(checked, tables, provider)
        self._narrows.append((checked, narrows))
        for index, narrow in enumerate(narrows):
            self._contradictions(checked, ("narrow", index), [*below, narrow.layer])

    def check_names(self) -> None:
        """What one file says of another, when all are known."""
        for checked, narrows in self._narrows:
            check_sources(narrows, checked, self._egress)
        for plan, file in self._plans.values():
            if plan is not None:
                check_providers(plan, file, self._providers)
        if self._of_sources is not None:
            check_plans(self._egress.sources, self._of_sources, self._plans)

    def _named_tables(self, checked: Checked[Any], below: list[Layer]) -> None:
        for kind, layers in (("site", self._sites), ("domain", self._domains)):
            tables: Mapping[str, LimitsTable] = getattr(checked.value, kind)
            for name, written, table in _by_written_name(checked, kind, tables):
                path = (kind, written)
                self._claim(kind, name, checked, path)
                layers[name] = layer_of(table, checked, path)
                self._contradictions(checked, path, [*below, layers[name]])

    def _claim(self, kind: str, name: str, checked: Checked[Any], path: Path) -> None:
        mine = (Provenance(checked.document.file, checked.line(path)), path)
        first = self._claims.setdefault((kind, name), mine)
        if first != mine:
            message = f"{_CLAIMED[kind]} {quoted(name)} is claimed by {first[0]} too"
            checked.contradict(path, message, "only one may have it")

    def _contradictions(self, checked: Checked[Any], path: Path, layers: list[Layer]) -> None:
        """Limits that cannot both be meant, reported where the uppermost layer has its share."""
        limits = merge(Limits(), layers)
        names = [name for name in ("retry_initial_s", "retry_max_s") if name in layers[-1].values]
        if names and limits.retry_initial_s > limits.retry_max_s:
            other = {"retry_initial_s": "retry_max_s", "retry_max_s": "retry_initial_s"}[names[0]]
            checked.contradict(
                (*path, names[0]),
                f"the first delay, {duration_text(limits.retry_initial_s)}, is longer than the "
                f"longest, {duration_text(limits.retry_max_s)}",
                f"{other} is set in {limits.where(other)}",
                about=[(*path, "retry_initial_s"), (*path, "retry_max_s")],
            )
        both = ("adaptive_floor", "adaptive_ceiling")
        names = [name for name in both if name in layers[-1].values]
        floor, ceiling = limits.adaptive_floor, limits.adaptive_ceiling
        if names and ceiling is not None and floor.per_s > ceiling.per_s:
            second = both[names[0] == both[0]]
            checked.contradict(
                (*path, names[0]),
                f"the floor, {floor}, is above the ceiling, {ceiling}",
                f"{second} is set in {limits.where(second)}",
                about=[(*path, name) for name in both],
            )


def _by_written_name(
    checked: Checked[Any], kind: str, tables: Mapping[str, LimitsTable]
) -> Iterator[tuple[str, str, LimitsTable]]:
    """Each table with its compared name and the name as it is written, which leads to its line."""
    written = checked.document.data.get(kind)
    for text in written if isinstance(written, dict) else ():
        try:
            name = site_name(text) if kind == "site" else parse_name(text)
        except ValueError:
            continue
        if name in tables:
            yield name, text, tables[name]
