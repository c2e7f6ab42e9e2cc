"""HTTP in, HTTP out: what a node answers to its users and to the tiers below."""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from tiers import metrics
from tiers.api import openapi, stream
from tiers.api.asked import unknown_model
from tiers.chat import with_id
from tiers.control import add_control
from tiers.errors import RequestError, defect, error_body, invalid
from tiers.protocol import (
    COMPLETIONS_PATH,
    DEADLINE_HEADER,
    REQUEST_ID_HEADER,
    REQUEST_ID_MAX_LENGTH,
    ErrorKind,
    decode_deadline,
    encode_json,
)
from tiers.service import MAX_REQUEST_S, Incoming, Service
from tiers.wsgi import ARRIVED, HANDED_OVER, WAITED_MS

MAX_REQUEST_BYTES = 1 << 20

_MENDS = {
    404: f"; a node has POST {COMPLETIONS_PATH}, GET /v1/models and GET {openapi.PATH}",
    413: f"; a body has {MAX_REQUEST_BYTES} bytes at most",
}
"""What an error of HTTP adds to its name, by status."""
_CODES = {
    404: "unknown_url", 405: "method_not_allowed", 413: "request_too_large", 415: "unsupported_media_type",
}  # fmt: skip

log = logging.getLogger("tiers")


def make_app(service: Service) -> Flask:
    """The WSGI application of one node."""
    app = Flask("tiers", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST_BYTES
    app.url_map.strict_slashes = False
    app.after_request(_echo_id)
    app.register_error_handler(RequestError, lambda error: _reply(error.body, error.status))
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, lambda error: _defect(error, service.config.place.node))
    _add_chat(app, service)
    _add_reading(app, service)
    add_control(app, service)
    return app


def _add_chat(app: Flask, service: Service) -> None:
    @app.post(COMPLETIONS_PATH)
    def completions() -> Response:
        reply = service.handle(_incoming(_request_id(service)))
        request.environ[HANDED_OVER] = reply.handed_over
        body = reply.body
        if reply.status == 200 and (user_id := g.get("user_id")) is not None:
            body = with_id(body, user_id)
        if reply.status == 200 and reply.stream is not None:
            return Response(stream.as_stream(body, reply.stream), content_type=stream.CONTENT_TYPE)
        return _reply(body, reply.status)


def _add_reading(app: Flask, service: Service) -> None:
    names, created = service.models, int(time.time())
    models = {
        name: {"id": name, "object": "model", "created": created, "owned_by": "llm-testbed"} for name in names
    }

    @app.get("/v1/models")
    def list_models() -> Response:
        return _json({"object": "list", "data": list(models.values())})

    @app.get("/v1/models/<path:asked>")
    def one_model(asked: str) -> Response:
        if asked not in models:
            raise unknown_model(asked, names)
        return _json(models[asked])

    @app.get(openapi.PATH)
    def document() -> Response:
        return _json(openapi.document(names, service.queue.narrowed))

    @app.get("/health")
    def health() -> Response:
        if not service.queue.ready:
            raise RequestError(503, "not_ready", "the model is still being loaded")
        return _json({"status": "ok"})

    @app.get("/metrics")
    def prometheus() -> Response:
        return Response(service.method.metrics.exposition(), content_type=metrics.CONTENT_TYPE)


def _incoming(request_id: str) -> Incoming:
    arrived = float(request.environ.get(ARRIVED, time.monotonic()))
    remaining = MAX_REQUEST_S
    if (header := request.headers.get(DEADLINE_HEADER)) is not None:
        try:
            remaining = decode_deadline(header)
        except ValueError as error:
            raise invalid(str(error)) from error
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        message = "Content-Encoding: send the body as it is, not compressed"
        raise RequestError(415, "invalid_request", message, code=_CODES[415])
    waited_ms = float(request.environ.get(WAITED_MS, 0.0))
    return Incoming(request_id, request.get_data(cache=False), arrived, arrived + remaining, waited_ms)


def _request_id(service: Service) -> str:
    """The id under which tiers know the request; what a user sent instead is kept, to be echoed to him."""
    user_id = request.headers.get(REQUEST_ID_HEADER)
    if not user_id:
        return secrets.token_hex(REQUEST_ID_MAX_LENGTH // 2)
    request_id = service.method.ids.of(user_id)
    if request_id != user_id:
        g.user_id = user_id
    return request_id


def _echo_id(response: Response) -> Response:
    """Give a user back the id that he sent, where tiers know the request by a shorter one.

    A short id is its own, and is in the answer: no header more on the way between tiers.
    """
    if (user_id := g.get("user_id")) is not None:
        response.headers[REQUEST_ID_HEADER] = user_id
    return response


def _json(value: Any) -> Response:
    return _reply(encode_json(value), 200)


def _reply(body: bytes, status: int) -> Response:
    return Response(body, status, content_type="application/json")


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    kind: ErrorKind = "not_found" if status == 404 else "invalid_request"
    message = f"{error.name}: {request.method} {request.path}{_MENDS.get(status, '')}"
    response = _reply(error_body(kind, message, code=_CODES.get(status)), status)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _defect(error: Exception, node: str) -> Response:
    log.exception("%s %s", request.method, request.path, exc_info=error)
    told = defect(node)
    return _reply(told.body, told.status)
