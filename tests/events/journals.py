"""Journals for tests: a log in a directory, a clock that is set, and what is read back."""

import json

from penstock.events.journal import Journal, JournalConfig
from penstock.events.reading import Position
from penstock.events.records import Admin
from penstock.events.store import StoreConfig

EPOCH = 1_800_000_000.0


class Jobs:
    """Runs what it is given at once."""

    def __init__(self, name):
        self.name = name

    def put(self, job):
        job()

    def join(self):
        pass


class Clock:
    def __init__(self):
        self.now = EPOCH

    def __call__(self):
        return self.now


def config(buffer_bytes_max=1 << 20, **store):
    return JournalConfig(buffer_bytes_max, StoreConfig(**{"segment_bytes": 2000, **store}))


def journal(directory, clock, disk=None, **options):
    return Journal(str(directory), config(**options), clock, disk, Jobs)


def say(journal, number):
    """An event that carries a number, to be found again."""
    return journal.write(Admin, action="count", reason=str(number))


def numbers(lines):
    return [int(json.loads(line)["reason"]) for line in lines]


def read_all(reader, position=Position(0, 0), bytes_max=1 << 20):  # noqa: B008
    """Every line from there on, and where the next ones begin."""
    found = []
    while True:
        lines, position = reader.read(position, bytes_max)
        if not lines:
            return found, position
        found += lines
