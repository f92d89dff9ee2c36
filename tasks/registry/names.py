"""What models, versions and aliases may be called, and how a version is referred to; no name can leave the registry's folder."""

from __future__ import annotations

import re

from models.errors import InputError

CHAMPION, PREVIOUS, CHALLENGER = "champion", "previous", "challenger"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,49}")
_VERSION = re.compile(r"v([1-9][0-9]{0,8})")


def is_name(name: str) -> bool:
    """Whether a model may be called so."""
    return _NAME.fullmatch(name) is not None


def check_name(name: str) -> str:
    """`name` if a model may be called so."""
    if not is_name(name):
        raise InputError(
            f"model name {name!r}: use up to 100 letters, digits, '_', '.' and '-', the first a letter or a digit. "
            "Set registry.name in params.yaml."
        )
    return name


def check_alias(alias: str) -> str:
    """`alias` if an alias may be called so; what looks like a version cannot be an alias."""
    if not _ALIAS.fullmatch(alias) or _VERSION.fullmatch(alias):
        raise InputError(
            f"alias {alias!r}: use up to 50 lower-case letters, digits, '_' and '-', the first a letter, and nothing that "
            f"reads as a version (v1, v2 …). Usual: {CHAMPION}, {CHALLENGER}."
        )
    return alias


def version_id(number: int) -> str:
    """1 -> 'v1'."""
    return f"v{number}"


def version_number(version: str) -> int | None:
    """'v12' -> 12; None for anything else."""
    found = _VERSION.fullmatch(version)
    return int(found[1]) if found else None


def parse_reference(text: str) -> tuple[str, str]:
    """'adult@v3' -> ('adult', 'v3'); a bare name means its champion."""
    name, at, which = text.partition("@")
    check_name(name)
    if not at:
        return name, CHAMPION
    if version_number(which) is None:
        check_alias(which)
    return name, which
