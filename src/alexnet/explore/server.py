"""The server of the explorer: its routes, what it takes, and how it starts on this machine alone."""

import secrets
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from alexnet.data.image import Unreadable
from alexnet.errors import InputError, RunFailed
from alexnet.explore import answers
from alexnet.explore.guard import Guard
from alexnet.explore.images import MOST_BYTES, NotThere
from alexnet.explore.session import Session
from alexnet.words import gigabytes

PAGE = Path(__file__).parent / "page"
"""The files of the page."""

HOST = "127.0.0.1"
PORTS = 100
"""Ports that are tried, from the one asked for on."""

STATUS: dict[type[Exception], int] = {NotThere: 404, Unreadable: 422, InputError: 400, RunFailed: 500}
"""What an error is over HTTP."""


def application(session: Session, token: str) -> ASGIApp:
    """The application that answers for a session, to whoever has the token."""
    app = FastAPI(title="alexnet explore", openapi_url=None)
    for path, answer in answers.URLS.items():
        app.get(f"/{path}", response_class=Response)(partial(answer, session))
    app.post("/api/images", status_code=201)(partial(_upload, session))
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    for kind in STATUS:
        app.add_exception_handler(kind, _told)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    return Guard(app, token)


async def _upload(session: Session, request: Request) -> JSONResponse:
    """Take an image: the body is its file, the header X-Name its name, percent-encoded."""
    content = bytearray()
    async for (
        part
    ) in request.stream():  # the rest of too much is read too, as a browser hears nothing until it has sent all
        if len(content) <= MOST_BYTES:
            content += part
    if len(content) > MOST_BYTES:
        return _error(413, f"more than the {gigabytes(MOST_BYTES)} that an image may have here")
    name = unquote(request.headers.get("X-Name", "image"), errors="replace")
    picture = await run_in_threadpool(session.images.upload, bytes(content), name)
    return JSONResponse(picture.to_dict(), 201)


def _error(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": " ".join(text.split())}, status)


def _told(request: Request, error: Exception) -> Response:
    status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
    return _error(status, str(error))


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = "there is nothing under this address" if error.status_code == 404 else str(error.detail)
    return _error(error.status_code, text)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return _error(422, f"{first['loc'][-1]}: {first['msg']}")


# Starting it ----------------------------------------------------------------------------------------------------------


def serve(session: Session, port: int, ready: Callable[[str], None]) -> None:
    """Answer until it is interrupted; `ready` is called with the page's address once it is there.

    On `port`, or the next that is free. Raises InputError if none is.
    """
    token = secrets.token_urlsafe(24)
    listening = _listen(port)
    url = f"http://{HOST}:{listening.getsockname()[1]}/?token={token}"
    # A page holds a few connections open; nobody waits for them at the end.
    settings = {"log_level": "error", "access_log": False, "timeout_graceful_shutdown": 1, "lifespan": "off"}
    server = uvicorn.Server(uvicorn.Config(application(session, token), **settings))  # type: ignore[arg-type]
    session.warm()
    threading.Thread(target=_when_started, args=(server, lambda: ready(url)), daemon=True).start()
    try:
        server.run(sockets=[listening])
    finally:
        session.close()
        listening.close()


def _when_started(server: uvicorn.Server, then: Callable[[], None]) -> None:
    while not server.started:
        if server.should_exit:
            return
        time.sleep(0.01)
    then()


def _listen(port: int) -> socket.socket:
    if not 0 <= port < 1 << 16:
        raise InputError(f"--port {port}: a port is a number from 0 (any that is free) to 65535")
    for number in range(port, min(port + PORTS, 1 << 16)):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, number))
            listening.listen(64)
            return listening
        except OSError:
            listening.close()
    raise InputError(f"--port {port}: neither it nor one of the next {PORTS} is free; choose another, or 0 for any")
