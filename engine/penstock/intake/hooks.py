"""Where aiosmtpd calls back: what EHLO offers, and how credentials are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

if TYPE_CHECKING:
    from penstock.intake.verbs import Verbs

EXTENSIONS = ("PIPELINING", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN")


class Hooks:
    """An aiosmtpd handler. One serves all sessions: ``server`` is the session at hand."""

    async def handle_HELO(self, server: Verbs, session: Any, envelope: Any, hostname: str) -> str:
        server.peer.greeted(hostname)
        return f"250 {server.hostname}"

    async def handle_EHLO(
        self, server: Verbs, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        server.peer.greeted(hostname)
        hidden = {"HELP"}  # goes last
        if not server.starttls_offered:
            hidden.add("STARTTLS")
        if not server.auth_offered:
            hidden.add("AUTH")
        names = [line[4:] for line in responses]
        names = [name for name in names if name.partition(" ")[0] not in hidden]
        names += EXTENSIONS
        if server.requiretls_offered:
            names.append("REQUIRETLS")
        names.append("HELP")
        last = len(names) - 1
        return [f"250{' ' if i == last else '-'}{name}" for i, name in enumerate(names)]

    async def auth_PLAIN(self, server: Verbs, args: list[str]) -> AuthResult:
        return await server.judge(await SMTP.auth_PLAIN(server, server, args))

    async def auth_LOGIN(self, server: Verbs, args: list[str]) -> AuthResult:
        return await server.judge(await SMTP.auth_LOGIN(server, server, args))

    @staticmethod
    def credentials(
        server: SMTP, session: Any, envelope: Any, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        """aiosmtpd wants an answer at once; ours comes later, from :meth:`Verbs.judge`."""
        return AuthResult(success=True, auth_data=data)
