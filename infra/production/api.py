"""Prefect's API, as anybody may call it."""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.request
from typing import Any


class Api:
    """The server at `url` (http://HOST:PORT/api), with the credentials that Prefect's own commands would show it."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Content-Type": "application/json", **_credentials()}

    def call(self, path: str, content: Any = None, method: str | None = None) -> Any:
        """What it answers: to a POST of `content` unless another method is named, or a GET. Raises HTTPError."""
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"{self._url}/{path}", data, self._headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def find(self, path: str) -> Any:
        """What it answers to a GET, or None where there is nothing."""
        try:
            return self.call(path)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise


def _credentials() -> dict[str, str]:
    """Of PREFECT_API_AUTH_STRING or PREFECT_API_KEY, as far as they are set."""
    if text := os.environ.get("PREFECT_API_AUTH_STRING"):
        return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}
    if key := os.environ.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    return {}
