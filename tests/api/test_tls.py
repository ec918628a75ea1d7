"""TLS: a listener with a certificate, and another one after a reload."""

from __future__ import annotations

import pathlib
import socket
import ssl

from tests.api.conftest import ApiDaemon
from tests.settings.test_api import make_pair


def serial(daemon: ApiDaemon) -> int:
    """Of the certificate that a new connection is shown."""
    from cryptography import x509

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", daemon.api_port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        given = connection.getpeercert(binary_form=True)
        assert given is not None
        return x509.load_der_x509_certificate(given).serial_number


def test_a_reload_takes_up_a_new_certificate(tmp_path: pathlib.Path) -> None:
    make_pair(tmp_path, 90)
    pair = f'certificate = "{tmp_path}/c.pem"\nkey = "{tmp_path}/k.pem"\n'
    daemon = ApiDaemon(tmp_path, pair)
    try:
        daemon.start()
        trust = ssl.create_default_context(cafile=str(tmp_path / "c.pem"))
        with daemon.client(verify=trust) as client:
            client.base_url = f"https://localhost:{daemon.api_port}"
            assert client.get("/api/v1/status").status_code == 200
        before = serial(daemon)
        make_pair(tmp_path, 90)
        assert serial(daemon) == before
        daemon.call("reload")
        assert serial(daemon) != before
        (tmp_path / "k.pem").write_text("no key")
        after = serial(daemon)
        refused = ""
        try:
            daemon.call("reload")
        except Exception as error:
            refused = str(error)
        assert "holds no private key" in refused
        assert serial(daemon) == after
    finally:
        daemon.end()
