"""Where the peers are, and a view of the file system of their own for those with fixed paths."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives import serialization

from bench.harness import ROOT, NotThere, program

PEERS = pathlib.Path(os.environ.get("PENSTOCK_PEERS") or ROOT / "bench/out/peers").resolve()

_RESOLVER = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\nlookup file bind\n"
_HOSTS = "127.0.0.1 localhost mta.example client.example\n127.0.0.2 sink.example\n"


def find(inside: str, name: str) -> str:
    """The path of a program: below the folder, or on the ``PATH``."""
    found = PEERS / inside
    return str(found) if found.exists() else program(name)


def need_root() -> None:
    """For what drops its rights and is given a view of its own."""
    if os.geteuid() != 0:
        raise NotThere("it must be started by root")
    program("unshare")


def need_directory(path: str) -> None:
    if not pathlib.Path(path).is_dir():
        raise NotThere(f"there is no {path} (bench/peers/install.sh makes it)")


def apart(
    directory: pathlib.Path, over: Mapping[str, pathlib.Path], command: Sequence[str]
) -> list[str]:
    """``command`` in a mount namespace of its own: it sees ``over[path]`` at ``path``, and no name
    server, for the sender's address has no name that were worth waiting for."""
    names = {"/etc/hosts": _HOSTS, "/etc/resolv.conf": _RESOLVER}
    mounts = {**over}
    for path, text in names.items():
        file = directory / pathlib.Path(path).name
        file.write_text(text)
        mounts[path] = file
    steps = "".join(f"mount --bind '{mine}' '{path}' && " for path, mine in mounts.items())
    return [program("unshare"), "-m", "/bin/sh", "-c", f'{steps}exec "$@"', "sh", *command]


def give(path: pathlib.Path, owner: str, mode: int) -> None:
    """``owner`` is the name of a group too."""
    shutil.chown(path, owner, owner)
    path.chmod(mode)


def traditional(key: pathlib.Path, to: pathlib.Path, owner: str = "root") -> None:
    """An RSA key as older software wants it: PKCS#1."""
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    to.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    shutil.chown(to, owner)
    to.chmod(0o600)


def public(key: pathlib.Path) -> bytes:
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
