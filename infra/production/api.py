"""Prefect's API, as anybody may call it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any


class Api:
    """The server at `url` (http://HOST:PORT/api)."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def call(self, path: str, content: Any = None, method: str | None = None) -> Any:
        """What it answers: to a POST of `content` unless another method is named, or a GET. Raises HTTPError."""
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(
            f"{self._url}/{path}", data, {"Content-Type": "application/json"}, method=method
        )
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
