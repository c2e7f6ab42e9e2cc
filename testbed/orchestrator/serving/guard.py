"""Keeps other sites' pages out of the front door, which has no password.

A page of another site may have a user's browser ask 127.0.0.1. By DNS rebinding it does so under a name of
its own, which the Host header shows; otherwise the browser names the site as Origin. There is no CORS.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from tiers.errors import error_body

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""Of all answers that are not a node's."""


def refusal(status: int, message: str) -> web.Response:
    """An error of the front door itself, as a tier writes it."""
    kinds = {403: "forbidden", 404: "not_found", 502: "unreachable", 503: "not_ready"}
    kind = kinds.get(status, "invalid_request")
    body = error_body(kind, message)  # type: ignore[arg-type]
    return web.Response(status=status, body=body, content_type="application/json")


def is_own_name(host: str, name: str) -> bool:
    """Whether a Host header names this server: by an IP address, which no name server can forge, as
    localhost, or by the ``name`` that it was told to listen on.
    """
    try:
        asked = urlsplit(f"//{host}").hostname or ""
        asked = asked.removesuffix(".")
    except ValueError:
        return False
    try:
        ipaddress.ip_address(asked)
    except ValueError:
        return asked == "localhost" or asked.endswith(".localhost") or asked == name.lower()
    return True


def guard(name: str) -> Middleware:
    """A middleware that refuses what another site's page asks, and adds :data:`HEADERS`."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        origin = request.headers.get("Origin")
        response: web.StreamResponse
        if not is_own_name(host, name):
            response = refusal(
                403, f"Host: {host[:100]!r} is not this server's name; use its address or localhost"
            )
        elif origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            response = refusal(403, f"Origin: {origin[:100]!r} is another site; its pages may not ask here")
        else:
            try:
                response = await handler(request)
            except web.RequestPayloadError as error:
                response = refusal(400, f"the body is no HTTP: {error}")
            except web.HTTPException as error:
                response = refusal(error.status, f"{error.reason}: {request.method} {request.path[:100]}")
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    return guarded
