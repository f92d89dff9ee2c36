"""Records of the registry as they are stored: JSON under a checksum, and under a signature where a key is configured.

The checksum finds damage. The signature (Ed25519) finds what somebody wrote who has the store but not the key. As soon as a
key is configured, the own or somebody else's, only what a trusted key has signed is believed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import EquipoiseError, InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

log = logging.getLogger("equipoise")

FORMAT = 1
SIGNING_KEY = "EQUIPOISE_SIGNING_KEY"
"""Environment variable: a file with the private key that signs what is written."""
TRUSTED_KEYS = "EQUIPOISE_TRUSTED_KEYS"
"""Environment variable: a file with the public keys, one PEM block after the other, whose signatures are believed."""

_MARK = b"-----BEGIN PUBLIC KEY-----"


class CorruptError(EquipoiseError):
    """Something in the registry is not what was written there. It has not been loaded."""


class UntrustedError(CorruptError):
    """Something in the registry is not signed by anybody who is trusted. It has not been loaded."""


def canonical(value: Any) -> bytes:
    """The one way in which JSON is hashed and signed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


@dataclass(frozen=True)
class Seals:
    """What records are signed with, if anything, and by whom they must be signed, if by anyone: key id -> key."""

    private: Ed25519PrivateKey | None = field(default=None, repr=False)
    trusted: Mapping[str, Ed25519PublicKey] = field(default_factory=dict)

    @staticmethod
    def of_environment() -> Seals:
        """The keys that the environment names; whoever signs trusts its own signature."""
        signing, trusting = os.environ.get(SIGNING_KEY), os.environ.get(TRUSTED_KEYS)
        private = _read_private(Path(signing)) if signing else None
        trusted = _read_public(Path(trusting)) if trusting else {}
        if private is not None:
            own = private.public_key()
            trusted = {**trusted, key_id(own): own}
        return Seals(private, trusted)

    def seal(self, kind: str, record: Mapping[str, Any]) -> bytes:
        """A record as JSON, signed if there is a key, with a checksum over all the rest of it."""
        content = {k: v for k, v in record.items() if k not in ("signature", "checksum")}
        if self.private is not None:
            signature = base64.b64encode(self.private.sign(_signed(kind, content))).decode()
            content["signature"] = {"key": key_id(self.private.public_key()), "ed25519": signature}
        content["checksum"] = hashlib.sha256(canonical(content)).hexdigest()
        return (json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()

    def unseal(self, kind: str, content: bytes, where: str) -> dict[str, Any]:
        """The inverse of `seal`, without the signature.

        Anything changed, added or cut off since is a CorruptError that names `where`; what no trusted key has signed is an
        UntrustedError, if any keys are trusted.
        """
        try:
            record = json.loads(content)
            checksum = record.pop("checksum")
            intact = checksum == hashlib.sha256(canonical(record)).hexdigest()
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            intact = False
        if not intact:
            raise CorruptError(
                f"{where} is damaged (its checksum does not fit). Restore it from a backup; nothing was loaded."
            )
        if record.get("format") != FORMAT:
            raise InputError(
                f"{where} has format {record.get('format')}, this version reads {FORMAT}. Upgrade Equipoise."
            )
        signature = record.pop("signature", None)
        if self.trusted:
            self._check(_signed(kind, record), signature, where)
        return dict(record)

    def _check(self, signed: bytes, signature: Any, where: str) -> None:
        from cryptography.exceptions import InvalidSignature

        if not isinstance(signature, dict):
            raise UntrustedError(
                f"{where} is not signed, and only what is signed is trusted ({TRUSTED_KEYS}). Nothing was loaded. Register "
                "it again with a signing key, or in a registry that is signed from the start."
            )
        key = self.trusted.get(str(signature.get("key")))
        if key is None:
            raise UntrustedError(
                f"{where} is signed by the key {str(signature.get('key'))[:16]!r}, which is not among those that are trusted "
                f"({', '.join(self.trusted)}). Nothing was loaded. If you trust whoever holds it, add its public key to the "
                f"file that {TRUSTED_KEYS} names."
            )
        try:
            key.verify(base64.b64decode(str(signature.get("ed25519")), validate=True), signed)
        except (InvalidSignature, ValueError):
            raise UntrustedError(
                f"{where}: its signature does not fit. Somebody without the key has written or changed it. Nothing was "
                "loaded; find out who, and restore it from a backup."
            ) from None


def key_id(key: Ed25519PublicKey) -> str:
    """A short name of a public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def make_keys(path: Path) -> tuple[Path, str]:
    """A new private key in `path`, for its owner alone, and its public key beside it; the latter's path and the key's id."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = Ed25519PrivateKey.generate()
    public = path.with_name(f"{path.name}.pub")
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    open_text = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for target, content, mode in ((path, secret, 0o600), (public, open_text, 0o644)):
            with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
    except FileExistsError as error:
        raise InputError(f"{error.filename} is there already; a key is never overwritten. Name another file.") from None
    except OSError as error:
        raise InputError(f"{error.filename or path} cannot be written ({error.strerror}). Name another file.") from None
    return public, key_id(key.public_key())


def _signed(kind: str, content: Mapping[str, Any]) -> bytes:
    """What is signed: the record, and as what it was meant, so that no record can stand in for one of another kind."""
    return b"equipoise " + kind.encode() + b"\n" + canonical(content)


def _read_private(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _read(path, SIGNING_KEY)
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(
            f"{SIGNING_KEY}: {path} is not an unencrypted Ed25519 private key. Make one with `equipoise registry key FILE`."
        )
    if path.stat().st_mode & 0o077:
        log.warning("%s: others than its owner can read %s; chmod 600 it", SIGNING_KEY, path)
    return key


def _read_public(path: Path) -> dict[str, Ed25519PublicKey]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    blocks = [_MARK + block for block in _read(path, TRUSTED_KEYS).split(_MARK)[1:]]
    keys: dict[str, Ed25519PublicKey] = {}
    for block in blocks:
        try:
            key = load_pem_public_key(block)
        except ValueError:
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise InputError(f"{TRUSTED_KEYS}: {path} holds a key that is not an Ed25519 public key. Remove it.")
        keys[key_id(key)] = key
    if not keys:
        raise InputError(
            f"{TRUSTED_KEYS}: {path} holds no public key. Put the .pub files of those whom you trust into it."
        )
    return keys


def _read(path: Path, variable: str) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise InputError(
            f"{variable}: {path} cannot be read ({error.strerror}). Correct the variable, or unset it."
        ) from None
