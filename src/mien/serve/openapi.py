"""The description of the service at /openapi.json."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from mien.serve.hosts import checked
from mien.serve.problems import MEDIA_TYPE, SCHEMA, SCHEMA_NAME, documented
from mien.serve.settings import Settings
from mien.serve.signin import OPEN

_TEXT = """The expression on faces: the one a human rater would most likely name, never what a person feels.

    curl --form files=@picture.jpg http://127.0.0.1:8000/v1/analyze

Errors are problem documents of RFC 9457."""


def describe(app: FastAPI, settings: Settings) -> None:
    """Let `app` describe itself, with the answers that every route can give because of what stands before it."""
    app.description = _TEXT
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = made()
            components = schema.setdefault("components", {})
            schemas = components.setdefault("schemas", {})
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            schemas[SCHEMA_NAME] = SCHEMA
            if settings.api_key:
                components["securitySchemes"] = {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                }
            for path, operations in schema["paths"].items():
                for operation in operations.values():
                    _complete(operation, path, settings)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(operation: dict[str, Any], path: str, settings: Settings) -> None:
    answers = operation["responses"]
    statuses = [403, 405, 408, 413, 500, 503, 507]
    if settings.api_key and path not in OPEN:
        operation["security"] = [{"bearer": []}, {"header": []}]
        statuses += [401, 429]
    if checked(settings) and path not in OPEN:
        statuses.append(421)
    if "422" in answers and MEDIA_TYPE not in answers["422"].get("content", {}):
        del answers["422"]  # FastAPI's own form, which is not sent here
        statuses.append(422)
    for status, answer in documented(*statuses).items():
        answers.setdefault(str(status), answer)
