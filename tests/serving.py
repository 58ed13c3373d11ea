"""A real server on a free port of this machine, in a thread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from mien.serve.app import create_app
from mien.serve.server import Server
from mien.serve.settings import Settings


@contextmanager
def running(settings: Settings | None = None, **overrides: Any) -> Iterator[str]:
    """Run the service while the context lasts, and yield where it is; without the page unless `page=True`."""
    if settings is None:
        overrides = {"page": False, **overrides}
    settings = replace(settings or Settings(), **overrides)
    server = Server(create_app(settings), settings)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()
        assert not thread.is_alive(), "the server did not stop"
