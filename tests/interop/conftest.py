"""Real programs around a real daemon, each private to one test: ports, spools and configurations.

Where a program is missing, or the rights to start it, a test is skipped and says why. In CI nothing
may be missing, so there it fails.
"""

import contextlib
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from bench import keys, opendkim, postfix
from bench.daemon import Daemon
from bench.harness import NotThere, free_port, program, scratch
from bench.sink import Sink

HOP = "127.0.0.2"


def _need(check: Callable[[], object]) -> None:
    try:
        check()
    except NotThere as error:
        reason = f"{error}; see tests/interop/install.sh"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def need() -> Callable[..., None]:
    """``need("swaks", ...)``: these programs are installed, or the test ends here."""

    def check(*names: str) -> None:
        for name in names:
            _need(lambda name=name: program(name))

    return check


@pytest.fixture
def directory() -> Iterator[pathlib.Path]:
    """A directory on a disk that other users may enter."""
    with scratch("penstock-interop-") as path:
        yield path


@pytest.fixture
def daemon(directory: pathlib.Path) -> Iterator[Callable[..., Daemon]]:
    """Starts a daemon: next hop and anything else that :class:`Daemon` takes."""
    with contextlib.ExitStack() as stack:

        def start(next_hop: str, **options: object) -> Daemon:
            started = Daemon(directory, next_hop, **options)
            stack.callback(lambda: print(started.log_tail()))
            return stack.enter_context(started)

        yield start


@pytest.fixture
def sink(directory: pathlib.Path) -> Iterator[Sink]:
    """Our own next hop, which notes Message-IDs."""
    with Sink(directory, HOP, free_port(HOP), record=True) as started:
        yield started


class Receiver:
    """A Postfix that takes mail for ``rcpt.example`` and ``src.example`` into one Maildir, refuses
    ``refused@rcpt.example``, offers STARTTLS, and has an opendkim verify what it takes."""

    def __init__(self, directory: pathlib.Path, published: dict[str, str]) -> None:
        directory.mkdir()
        self.maildir = directory / "mail/inbox"
        (directory / "mail").mkdir()
        nobody = 65534
        os.chown(directory / "mail", nobody, nobody)
        certificate, key = directory / "tls.crt", directory / "tls.key"
        keys.make_certificate(certificate, key, "mx.example")
        records = directory / "keys.txt"
        records.write_text("".join(f"{name} {text}\n" for name, text in published.items()))
        self.dkim = opendkim.OpenDkim(directory / "dkim", opendkim.verifying(records, "mx.example"))
        self.postfix = postfix.Postfix(
            directory,
            {
                "virtual_mailbox_domains": "rcpt.example, src.example",
                "virtual_mailbox_base": str(directory / "mail"),
                "virtual_mailbox_maps": "static:inbox/",
                "virtual_uid_maps": f"static:{nobody}",
                "virtual_gid_maps": f"static:{nobody}",
                "smtpd_recipient_restrictions": (
                    "check_recipient_access inline:"
                    "{ { refused@rcpt.example = 550 5.1.1 no such mailbox } }, permit_mynetworks"
                ),
                "smtpd_tls_cert_file": str(certificate),
                "smtpd_tls_key_file": str(key),
                "smtpd_tls_security_level": "may",
                "smtpd_tls_received_header": "yes",
                "smtpd_milters": self.dkim.milter,
                "milter_default_action": "tempfail",
            },
            host=HOP,
        )

    @property
    def address(self) -> str:
        return self.postfix.address

    def messages(self) -> list[bytes]:
        """All messages delivered so far, lines ending in CRLF again."""
        return [
            path.read_bytes().replace(b"\n", b"\r\n")
            for path in sorted((self.maildir / "new").glob("*"))
        ]


@pytest.fixture
def receiver(directory: pathlib.Path) -> Iterator[Callable[..., Receiver]]:
    """Starts a :class:`Receiver`; takes the DKIM records it shall find, by name."""
    with contextlib.ExitStack() as stack:

        def start(published: dict[str, str] | None = None) -> Receiver:
            _need(postfix.check)
            _need(opendkim.check)
            started = Receiver(directory / "receiver", published or {})
            stack.enter_context(started.dkim)
            stack.enter_context(started.postfix)
            stack.callback(lambda: print(started.postfix.log_text()[-4000:]))
            return started

        yield start


@pytest.fixture
def smtp_sink(directory: pathlib.Path) -> Iterator[Callable[[], tuple[str, Callable[[], int]]]]:
    """Starts Postfix's own sink: its address, and how many messages it has counted."""
    from bench.harness import Program, greets

    with contextlib.ExitStack() as stack:

        def start() -> tuple[str, Callable[[], int]]:
            _need(lambda: program("smtp-sink"))
            port = free_port(HOP)
            counters = directory / "smtp-sink.log"
            drop: Sequence[str] = ("-u", "nobody") if os.geteuid() == 0 else ()
            command = [program("smtp-sink"), *drop, "-c", f"{HOP}:{port}", "1000"]
            started = Program("smtp-sink", command, counters)
            stack.callback(lambda: started.running and started.kill())
            started.wait_for(lambda: greets(HOP, port), 10, "smtp-sink greets")

            def messages() -> int:
                # lines like "sess=20 quit=19 mesg=5000", each over the one before
                words = counters.read_bytes()[-200:].split()
                counted = [word for word in words if word.startswith(b"mesg=")]
                return int(counted[-1].removeprefix(b"mesg=")) if counted else 0

            return f"{HOP}:{port}", messages

        yield start
