"""moto's S3 server with one request at a time inside its storage, which is memory: `python -m infra.production.memory_s3 PORT`.

It checks a condition and then writes: two threads could otherwise both find nothing there.
"""

from __future__ import annotations

import io
import sys
import threading
from typing import Any


def serve(port: int) -> None:
    """Serve on loopback until the process ends."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, run_simple

    application = DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()

    def guarded(environ: Any, start: Any) -> Any:
        body = environ["wsgi.input"]
        if not environ.get("wsgi.input_terminated"):
            environ["wsgi.input"] = io.BytesIO(body.read(int(environ.get("CONTENT_LENGTH") or 0)))
        with one_at_a_time:
            return list(application(environ, start))

    WSGIRequestHandler.protocol_version = "HTTP/1.1"  # connections stay open, as on any S3 server
    run_simple("127.0.0.1", port, guarded, threaded=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
