"""Who may ask the server of the explorer: whoever has the token, from this machine, and no page of another host."""

import hashlib
import json
import os
import re
import secrets
from html import escape
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "media-src 'self' blob:",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""The Content-Security-Policy: a page that runs and loads nothing but what this server gives it."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

# A name that some other machine answers to may lead here (DNS rebinding): then the browser says that name.
_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?")

NO_TOKEN = "open the address that alexnet explore has printed, with its token"
NO_HOST = "this server answers to 127.0.0.1 and localhost alone"
NO_ORIGIN = "a page of another host may not send anything here"


class Guard:
    """The application, behind a token: in the URL once, then in a cookie that other hosts' pages cannot send."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.token = app, token
        # Cookies do not tell ports apart, and there may be several explorers.
        self.cookie = f"alexnet-{hashlib.sha256(token.encode()).hexdigest()[:8]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        in_url = self._right(parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0])
        refusal = self._refusal(headers, in_url)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    out[name] = value
                out.setdefault("Cache-Control", "no-store")
                if in_url and not refusal:
                    out.append("Set-Cookie", f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict")
            await send(message)

        if refusal:
            await _refuse(guarded, refusal)
        else:
            await self.app(scope, receive, guarded)

    def _refusal(self, headers: Headers, in_url: bool) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not _HOST.fullmatch(host):
            return NO_HOST
        if origin is not None and origin != f"http://{host}":
            return NO_ORIGIN
        if not in_url and not self._right(_cookies(headers).get(self.cookie, "")):
            return NO_TOKEN
        return None

    def _right(self, token: str) -> bool:
        return secrets.compare_digest(token.encode(), self.token.encode())


def private_link(folder: Path, url: str) -> str:
    """Write a page into `folder` that leads to `url`, for this user's eyes alone, and return its file:// address.

    A browser is started with an address in its command line, which every user of the machine may read.
    """
    file = folder / "open.html"
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as page:
        page.write(
            f'<!doctype html>\n<meta charset="utf-8">\n<meta http-equiv="refresh" content="0; url={escape(url)}">\n'
        )
    return file.as_uri()


def _cookies(headers: Headers) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


async def _refuse(send: Send, reason: str) -> None:
    body = json.dumps({"error": reason}).encode()
    start: dict[str, Any] = {"type": "http.response.start", "status": 403}
    start["headers"] = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send(start)
    await send({"type": "http.response.body", "body": body})
