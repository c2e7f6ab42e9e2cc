"""HTTP in, HTTP out: the node's interface, for users, for tiers below, and for the orchestrator.

``python -m tiers.server`` runs a node as ``TESTBED_NODE`` describes it (:mod:`tiers.config`).
"""

from __future__ import annotations

import json
import logging
import os
import platform
import resource
import secrets
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import wraps
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from tiers import metrics
from tiers.chat import require_unicode, with_id
from tiers.config import NodeConfig, read_config, round_trips
from tiers.errors import ConfigError, RequestError, error_body, invalid
from tiers.protocol import (
    COMPLETIONS_PATH,
    CONTROL_PREFIX,
    DEADLINE_HEADER,
    REQUEST_ID_HEADER,
    REQUEST_ID_MAX_LENGTH,
    ErrorKind,
    decode_deadline,
    encode_json,
)
from tiers.service import MAX_REQUEST_S, Incoming, Service
from tiers.wsgi import ARRIVED, HANDED_OVER, MAX_BODY_BYTES, WAITED_MS, Server

MAX_REQUEST_BYTES = 1 << 20
MAX_OPEN_FILES = 16_384
LOOPBACK = "127.0.0.1"
LIBRARIES = (
    "flask", "werkzeug", "waitress", "urllib3", "prometheus-client", "pybreaker", "torch", "transformers",
    "tokenizers", "safetensors", "numpy",
)  # fmt: skip

_MENDS = {
    404: f"; a node has POST {COMPLETIONS_PATH} and GET /v1/models",
    413: f"; a body has {MAX_REQUEST_BYTES} bytes at most",
}
"""What an error of HTTP adds to its name, by status."""

log = logging.getLogger("tiers")


def make_app(service: Service) -> Flask:
    """The WSGI application of one node."""
    app = Flask("tiers", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST_BYTES
    app.url_map.strict_slashes = False
    app.after_request(_echo_id)
    app.register_error_handler(RequestError, lambda error: _reply(error.body, error.status))
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _defect)
    _add_api(app, service)
    _add_control(app, service)
    return app


def _add_api(app: Flask, service: Service) -> None:
    name = service.config.model_name
    model = {"id": name, "object": "model", "created": int(time.time()), "owned_by": "llm-testbed"}

    @app.post(COMPLETIONS_PATH)
    def completions() -> Response:
        reply = service.handle(_incoming(_request_id(service)))
        request.environ[HANDED_OVER] = reply.handed_over
        return _reply(reply.body, reply.status)

    @app.get("/v1/models")
    def models() -> Response:
        return _json({"object": "list", "data": [model]})

    @app.get("/v1/models/<path:asked>")
    def one_model(asked: str) -> Response:
        if asked != name:
            raise RequestError(404, "not_found", f"no model {asked!r}; this node has {name!r}", "model")
        return _json(model)

    @app.get("/health")
    def health() -> Response:
        if not service.queue.ready:
            raise RequestError(503, "not_ready", "the model is still being loaded")
        return _json({"status": "ok"})

    @app.get("/metrics")
    def prometheus() -> Response:
        return Response(service.method.metrics.exposition(), content_type=metrics.CONTENT_TYPE)


def _add_control(app: Flask, service: Service) -> None:
    def control(path: str, verb: str, answer: Callable[[], Any]) -> None:
        @wraps(answer)
        def guarded() -> Response:
            if request.remote_addr != LOOPBACK:
                raise RequestError(403, "forbidden", f"control is for this node's own {LOOPBACK} alone")
            request.max_content_length = MAX_BODY_BYTES  # a policy may be told something of each request
            return _json(answer())

        app.add_url_rule(f"{CONTROL_PREFIX}/{path}", path, guarded, methods=[verb])

    def reset() -> Any:
        body = _object()
        policy = body.get("policy")
        if not isinstance(policy, dict) or not isinstance(body.get("method"), str):
            raise invalid('reset needs {"method": NAME, "policy": {"policy": NAME, …}}')
        try:
            service.reset(body["method"], policy, **round_trips(body))
        except ConfigError as error:
            raise invalid(str(error)) from error
        return {"method": body["method"]}

    def warmup() -> Any:
        texts = _object().get("texts")
        if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
            raise invalid('warmup needs {"texts": [TEXT, …]}')
        for text in texts:
            require_unicode(text)
        inferences = service.infer_apart(texts)
        return {
            "inference_ms": [inference.inference_ms for inference in inferences],
            "answers": [inference.answer for inference in inferences],
            "confidences": [inference.confidence for inference in inferences],
        }

    def share() -> Any:
        confidences = _object().get("confidences")
        if not isinstance(confidences, list) or not all(map(_is_confidence, confidences)):
            raise invalid('share needs {"confidences": [NUMBER, …]}, each in [0, 1]')
        try:
            return {"entered": service.share(confidences)}
        except (ValueError, NotImplementedError) as error:
            raise invalid(str(error)) from error

    def records() -> Any:
        found, asked = service.method.records, request.args.get("id")
        return [record.as_json() for record in (found.all() if asked is None else found.of(asked))]

    def disconnect() -> Any:
        service.disconnect()
        return {"disconnected": True}

    control("reset", "POST", reset)
    control("warmup", "POST", warmup)
    control("disconnect", "POST", disconnect)
    control("share", "POST", share)
    control("records", "GET", records)
    control("status", "GET", lambda: status(service))


def _is_confidence(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def status(service: Service) -> dict[str, Any]:
    """What this node is and runs on, for the manifest."""
    place = service.config.place
    return {
        "node": place.node,
        "tier": place.tier,
        "method": service.method.name,
        "ready": service.queue.ready,
        "threads": service.config.model.threads,
        "versions": {"python": platform.python_version(), **_versions()},
        "model": service.queue.describe(),
        "anon_bytes": anonymous_bytes(),
        "records_forgotten": service.method.records.forgotten,
    }


def anonymous_bytes() -> int | None:
    """This process's anonymous resident memory (``RssAnon`` of proc(5)); ``None`` where it is not told."""
    try:
        with open("/proc/self/status", encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))
    except (OSError, StopIteration):
        return None


def _versions() -> dict[str, str]:
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _incoming(request_id: str) -> Incoming:
    arrived = float(request.environ.get(ARRIVED, time.monotonic()))
    remaining = MAX_REQUEST_S
    if (header := request.headers.get(DEADLINE_HEADER)) is not None:
        try:
            remaining = decode_deadline(header)
        except ValueError as error:
            raise invalid(str(error)) from error
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise RequestError(415, "invalid_request", "Content-Encoding: send the body as it is, not compressed")
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
        if response.status_code == 200:
            response.data = with_id(response.data, user_id)
    return response


def _object() -> dict[str, Any]:
    try:
        body = json.loads(request.get_data())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise invalid("the body must be a JSON object")
    return body


def _json(value: Any) -> Response:
    return _reply(encode_json(value), 200)


def _reply(body: bytes, status: int) -> Response:
    return Response(body, status, content_type="application/json")


def _http_error(error: HTTPException) -> Response:
    kind: ErrorKind = "not_found" if error.code == 404 else "invalid_request"
    mend = _MENDS.get(error.code or 500, "")
    message = f"{error.name}: {request.method} {request.path}{mend}"
    return _reply(error_body(kind, message), error.code or 500)


def _defect(error: Exception) -> Response:
    log.exception("%s %s", request.method, request.path, exc_info=error)
    return _reply(error_body("internal", "a defect of the tier; its log says more"), 500)


class Node:
    """A node that listens, loads its model meanwhile, and serves."""

    def __init__(self, config: NodeConfig) -> None:
        """Listen; nothing is answered before :meth:`run`.

        Raises:
            ConfigError: the policy cannot be made.
            OSError: its address is in use.
        """
        self.service = Service(config)
        self.server = Server(make_app(self.service), config.host, config.port, config.request_threads)
        self.port = self.server.port

    def load(self, failed: Callable[[BaseException], None]) -> None:
        """Start to load the model; ``failed`` hears of it, in another thread, if that goes wrong."""

        def finish(loading: Future[None]) -> None:
            if (error := loading.exception()) is not None:
                failed(error)

        self.service.queue.load().add_done_callback(finish)

    def run(self) -> None:
        """Serve until :meth:`close`."""
        self.server.run()

    def close(self) -> None:
        """Close the port, all connections, and the inference queue."""
        self.server.close()
        self.service.disconnect()
        self.service.queue.close()


def main() -> NoReturn:
    """Run the node of the environment until SIGTERM or SIGINT; exit status 2 where it cannot start."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a full pool is load, no defect
    for number in (signal.SIGTERM, signal.SIGINT):
        # At once, whatever runs: what is under way belongs to a run that has ended.
        signal.signal(number, lambda *_: _exit(0))
    _allow_connections()
    try:
        node = Node(read_config(os.environ))
    except (ConfigError, OSError) as error:
        print(f"tier cannot start: {error}", file=sys.stderr)
        _exit(2)
    node.load(_give_up)
    node.run()
    _exit(0)


def _allow_connections() -> None:
    """Raise this process's limit on open files: each outstanding request has one from below, one upwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _give_up(error: BaseException) -> None:
    if isinstance(error, ConfigError):
        print(f"tier cannot start: {error}", file=sys.stderr)
    else:
        log.error("tier cannot start", exc_info=error)
    _exit(2)


def _exit(status: int) -> NoReturn:
    # os._exit: threads that wait for a model or a tier above must not hold the container up.
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
