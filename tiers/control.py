"""The orchestrator's side of a node: methods begin, models warm up, windows are shared, records are read.

Only the node's own loopback address is answered.
"""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Callable
from functools import wraps
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from flask import Flask, Response, request

from tiers.api.asked import require_unicode
from tiers.config import of_reset
from tiers.errors import ConfigError, RequestError, invalid
from tiers.protocol import CONTROL_PREFIX, encode_json
from tiers.records import told_in_lines
from tiers.service import Service
from tiers.wsgi import MAX_BODY_BYTES

LOOPBACK = "127.0.0.1"
LIBRARIES = (
    "flask", "werkzeug", "waitress", "urllib3", "prometheus-client", "pybreaker", "torch", "transformers",
    "tokenizers", "safetensors", "numpy",
)  # fmt: skip

log = logging.getLogger("tiers")


def add_control(app: Flask, service: Service) -> None:
    """Give the application of a node its routes below :data:`~tiers.protocol.CONTROL_PREFIX`."""

    def control(path: str, verb: str, answer: Callable[[], Any]) -> None:
        @wraps(answer)
        def guarded() -> Response:
            if request.remote_addr != LOOPBACK:
                raise RequestError(403, "forbidden", f"control is for this node's own {LOOPBACK} alone")
            request.max_content_length = MAX_BODY_BYTES  # a policy may be told something of each request
            try:
                told = answer()
            except (KeyboardInterrupt, SystemExit, GeneratorExit) as error:  # a plug-in's: it ends no thread
                raise RuntimeError("a plug-in wants to end the tier") from error
            if isinstance(told, Response):
                return told
            return Response(encode_json(told), content_type="application/json")

        app.add_url_rule(f"{CONTROL_PREFIX}/{path}", path, guarded, methods=[verb])

    def reset() -> Any:
        body = _object()
        policy = body.get("policy")
        if not isinstance(policy, dict) or not isinstance(body.get("method"), str):
            raise invalid('reset needs {"method": NAME, "policy": {"policy": NAME, …}}')
        try:
            service.reset(body["method"], policy, **of_reset(body))
        except ConfigError as error:
            if error.__cause__ is not None:  # what a plug-in raised
                log.warning("method %s", body["method"], exc_info=error)
            raise invalid(str(error)) from error
        return {"method": body["method"]}

    def warmup() -> Any:
        texts = _object().get("texts")
        if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
            raise invalid('warmup needs {"texts": [TEXT, …]}')
        for text in texts:
            require_unicode(text, "prompt")
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

    def disconnect() -> Any:
        service.disconnect()
        return {"disconnected": True}

    def records() -> Any:
        found, asked = service.method.records, request.args.get("id")
        told = told_in_lines(found.all() if asked is None else found.of(asked))
        return Response(told, content_type="application/x-ndjson")

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


def _object() -> dict[str, Any]:
    try:
        body = json.loads(request.get_data())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise invalid("the body must be a JSON object")
    return body
