"""The list against a plain dict: tenants, scopes, expiry, counts, import and export."""

from __future__ import annotations

import collections
import io
import tempfile
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.suppression.decide import SuppressionRules
from penstock.suppression.entry import Entry
from penstock.suppression.rows import Meaning, read_rows
from penstock.suppression.store import Store, Suppressions
from penstock.suppression.transfer import export_entries, import_rows
from penstock.suppression.writer import SuppressionWriter

# with neighbours of each other as keys: one is the beginning of another
ADDRESSES = ("a@b.example", "a@b.exampl", "b@b.example", "a@b.example.org", "ü@b.example")
SPELLINGS = {"a@b.example": ("A@B.example", "a@b.example."), "b@b.example": ("B@b.EXAMPLE",)}
TENANTS = ("", "shop", "shop2", "s")
SCOPES = ("", "bulk", "triggered", "transactional", "list:news")
REASONS = ("manual", "complaint", "unsubscribe", "bounce:bad-mailbox", "own:reason")
TIMES = (0, 10, 20, 30)
Key = tuple[str, str, str, str]

addresses, tenants = st.sampled_from(ADDRESSES), st.sampled_from(TENANTS)
entries = st.builds(
    Entry,
    addresses,
    tenants,
    st.sampled_from(SCOPES),
    st.sampled_from(REASONS),
    st.sampled_from(["", "event1"]),
    st.sampled_from([1.0, 5.0, 4e9]),
    st.sampled_from([0.0, 10.0, 20.0]),
)


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.store = Store(self.directory.name)
        self.model: dict[Key, Entry] = {}

    @property
    def writer(self) -> SuppressionWriter:
        return SuppressionWriter(self.store)

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    @rule(some=st.lists(entries, max_size=4), data=st.data())
    def add(self, some: list[Entry], data: Any) -> None:
        new = 0
        for one in some:
            new += key_of(one) not in self.model
            self.model[key_of(one)] = one
        spelled = [
            one._replace(
                address=data.draw(st.sampled_from([one.address, *SPELLINGS.get(one.address, ())]))
            )
            for one in some
        ]
        assert self.writer.add(spelled) == new

    @rule(
        address=addresses,
        tenant=st.none() | tenants,
        scope=st.none() | st.sampled_from(SCOPES),
        reason=st.none() | st.sampled_from(REASONS),
    )
    def remove(
        self, address: str, tenant: str | None, scope: str | None, reason: str | None
    ) -> None:
        gone = [
            key
            for key in self.model
            if key[0] == address
            and tenant in (None, key[1])
            and scope in (None, key[2])
            and reason in (None, key[3])
        ]
        for key in gone:
            del self.model[key]
        assert self.writer.remove(address, tenant, scope, reason) == len(gone)

    @rule(now=st.sampled_from(TIMES), keys_max=st.sampled_from([1, 2, 100]))
    def purge(self, now: float, keys_max: int) -> None:
        """As often as it takes to have been everywhere."""
        gone = {key for key, one in self.model.items() if not one.live(now)}
        removed = 0
        for _ in range(len(ADDRESSES) * len(TENANTS) * 2 + 2):
            with self.writer.change() as change:
                removed += change.purge(now, keys_max, 14)
        assert removed == len(gone)
        for key in gone:
            del self.model[key]

    @rule(some=st.lists(entries, max_size=8), run_pairs=st.sampled_from([1, 3, 100]))
    def take_in(self, some: list[Entry], run_pairs: int) -> None:
        text = io.StringIO()
        export_entries(some, text, "ndjson" if run_pairs == 3 else "csv")
        meaning = Meaning(self.store.spelling, SuppressionRules(), 1.0)
        rows = read_rows(
            io.BytesIO(text.getvalue().encode()), "ndjson" if run_pairs == 3 else "csv", meaning
        )
        done = import_rows(self.writer, rows, run_pairs=run_pairs)
        assert (done.rows, done.bad) == (len(some), 0)
        for one in some:
            self.model[key_of(one)] = one

    @rule()
    def export_and_take_in_elsewhere(self) -> None:
        text = io.StringIO()
        export_entries(self.store.walk(), text, "csv")
        with tempfile.TemporaryDirectory() as directory:
            other = Store(directory)
            meaning = Meaning(other.spelling, SuppressionRules(), 1.0)
            rows = read_rows(io.BytesIO(text.getvalue().encode()), "csv", meaning)
            import_rows(SuppressionWriter(other), rows)
            assert list(other.walk()) == list(self.store.walk())
            other.close()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store(self.directory.name)

    @rule(
        address=addresses,
        tenant=tenants,
        class_=st.sampled_from(SCOPES[1:4]),
        mailing_list=st.sampled_from(["", "news", "other"]),
        now=st.sampled_from(TIMES),
    )
    def find(self, address: str, tenant: str, class_: str, mailing_list: str, now: float) -> None:
        scopes = {"", class_} | ({f"list:{mailing_list}"} if mailing_list else set())
        right = [
            one
            for one in self.model.values()
            if one.address == address
            and one.tenant in ("", tenant)
            and one.scope in scopes
            and (one.until == 0 or one.until > now)
        ]
        found = Suppressions(self.store).find(address, tenant, class_, now, mailing_list)
        assert (found is None) == (not right)
        if found is not None:
            assert found in right
            assert (found.tenant == "") == any(one.tenant == "" for one in right)

    @invariant()
    def all_is_there(self) -> None:
        assert sorted(self.store.walk()) == sorted(self.model.values())
        for address in ADDRESSES:
            of_it = [one for one in self.model.values() if one.address == address]
            assert sorted(Suppressions(self.store).lookup(address)) == sorted(of_it)

    @invariant()
    def the_counts_are_right(self) -> None:
        counted = collections.Counter(
            (one.tenant, one.reason, one.scope) for one in self.model.values()
        )
        assert {one[:3]: one.entries for one in self.writer.count()} == dict(counted)
        keys = {(one.address, one.tenant) for one in self.model.values()}
        assert self.store.usage().addresses == len(keys)


def key_of(entry: Entry) -> Key:
    return entry.address, entry.tenant, entry.scope, entry.reason


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
