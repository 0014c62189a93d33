"""Who may ask the page, and what each answer carries."""

import asyncio
import ipaddress
import re
import secrets
import socket

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, RedirectResponse

LOCAL = ("127.0.0.1", "localhost", "::1")
MAX_STALL = 60  # seconds in which a visitor takes nothing of an answer
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; "
    "object-src 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY + "; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",  # the same for old browsers
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-cache",  # where the answer says nothing else
}
EMBEDDED = HEADERS | {"Content-Security-Policy": POLICY}
del EMBEDDED["X-Frame-Options"]


def make_token(host: str, *, embed: bool = False) -> str | None:
    """Makes what the address of the page must hold.

    Args:
      host: address that the server listens on.
      embed: whether other pages may show it in a frame.

    Returns:
      None where only this machine can ask and the page stands alone; else letters that cannot
      be guessed.
    """
    return None if host in LOCAL and not embed else secrets.token_urlsafe(16)


def guard(app, *, host: str, token: str | None, embed: bool = False):
    """Puts a gate in front of an application.

    On this machine the header Host must name it with the port. A page of another site whose
    name was made to point here (DNS rebinding) sends its own name, so it is refused. Where
    others can ask, every path begins with the token, and Host must be an address or a name of
    this machine.

    Args:
      app: ASGI application.
      host: address that the server listens on.
      token: of `make_token`.
      embed: whether other pages may show it in a frame, and a proxy pass it on under any name.

    Returns:
      An ASGI application.
    """
    headers = EMBEDDED if embed else HEADERS
    names = {"localhost", host, socket.gethostname(), f"{socket.gethostname()}.local"}
    names = {name.lower() for name in names}

    def refuse(scope):
        given = Headers(scope=scope).getlist("host")
        name = given[0].lower() if len(given) == 1 else ""
        if token is None:
            port = scope["server"][1]
            if name not in {*(_join(one, port) for one in LOCAL), *(LOCAL if port == 80 else ())}:
                return 400, f"open this page as http://{_join(host, port)}"
        elif not embed and not _is_known(name, names):
            return 400, f"open this page by the address of its machine, or as {host}"
        if token is not None:
            first, slash, _ = scope["path"][1:].partition("/")
            if not secrets.compare_digest(first.encode(), token.encode()):
                return 403, "this address lacks the token; open the one that siamfc serve has told"
            if not slash:
                return 307, f"/{token}/"
        return None

    async def gate(scope, receive, send):
        if scope["type"] != "http":
            await app(scope, receive, send)
            return

        async def answer(message):
            if message["type"] == "http.response.start":
                found = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in headers.items():
                    found.setdefault(name, value)
            async with asyncio.timeout(MAX_STALL):
                await send(message)

        refusal = refuse(scope)
        if token is not None:
            scope = scope | {"root_path": f"/{token}"}
        try:
            if refusal is None:
                await app(scope, receive, answer)
            elif refusal[0] == 307:
                await RedirectResponse(refusal[1])(scope, receive, answer)
            else:
                status, text = refusal
                await JSONResponse({"error": text}, status_code=status)(scope, receive, answer)
        except (ClientDisconnect, TimeoutError):
            pass  # the visitor has left, or takes nothing; the server closes the connection

    return gate


def _join(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_known(name, names):
    """Says whether a Host is an address, which no other site can have, or one of the names."""
    match = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]]+))(?::[0-9]+)?", name)
    if not match:
        return False
    host = match[1] or match[2]
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host in names
    return True
