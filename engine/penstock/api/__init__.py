"""The HTTP API: routes under ``/api/v1``, what guards them, and how their errors read.

:mod:`~penstock.api.app` puts it together for whoever serves it: every worker on a shared socket,
and the supervisor on a Unix socket. A request passes the gate (who asks, how much, for how long),
then FastAPI's routing, then a route of :data:`penstock.api.routers.ROUTERS`. Routes reach the
daemon by the ports they find at the application, and say what is wrong by raising a
:class:`~penstock.api.problem.Problem`.
"""
