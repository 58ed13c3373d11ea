"""What goes wrong, as documents of RFC 9457 (application/problem+json): never a stack trace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
NOTHING = "there is nothing at this path; /openapi.json says what there is"


class Problem(Exception):  # noqa: N818  # the word of RFC 9457
    """Ends a request with a status and one line that says what is wrong and how to go on.

    Attributes:
        status: of HTTP.
        detail: one line for whoever sent the request.
        headers: such as Retry-After.
        members: what the document says besides.

    """

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.members = status, detail, dict(headers or {}), members

    def document(self) -> dict[str, Any]:
        """Return the members of the document."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.members,
        }

    def response(self) -> Response:
        """Return the answer."""
        return Response(json.dumps(self.document()), self.status, headers={**self.headers}, media_type=MEDIA_TYPE)


def busy(detail: str = "the queue is full; try again in a moment", *, seconds: int = 1) -> Problem:
    """Return 429, with the time after which to try again."""
    return Problem(429, detail, headers={"Retry-After": str(seconds)})


def stopping(*, films: bool = False) -> Problem:
    """Return 503: the server is about to end, and with it all `films`, if it is these that are asked for."""
    told = "; films are lost with it, and what came of them: send yours again when it is back" if films else ""
    return Problem(503, f"the server is stopping{told}", headers={"Retry-After": "10"})


def reason(error: object, flag: str) -> str:
    """Return what an error of the library says, for somebody who cannot set its limits.

    Args:
        error: the error or its text; it names the limit on pixels as whoever uses the library sets it.
        flag: the server's, for the same limit.

    """
    text, _, _ = str(error).partition("; raise it by --max-pixels")
    return text if text == str(error) else f"{text} (the server's {flag})"


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of the answers of `statuses`, all of them such documents."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{SCHEMA_NAME}"}}},
        }
        for status in statuses
    }


SCHEMA_NAME = "Problem"
SCHEMA: dict[str, Any] = {
    "title": SCHEMA_NAME,
    "description": "A problem document of RFC 9457.",
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string", "description": "What the status means."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, and how to go on."},
    },
    "required": ["type", "title", "status", "detail"],
    "examples": [busy().document()],
}
"""The schema of the document in OpenAPI."""
