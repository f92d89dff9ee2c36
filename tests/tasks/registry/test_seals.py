"""Signed records: what a trusted key has signed is loaded, and nothing else as soon as a key is configured."""

from __future__ import annotations

import json
import logging
import stat

import pytest

from models.errors import InputError
from tasks.registry import CorruptError, UntrustedError
from tasks.registry.seals import SIGNING_KEY, TRUSTED_KEYS, Seals, make_keys


@pytest.fixture
def keys(tmp_path):
    """Private and public key of two people."""
    made = {}
    for name in ("ann", "bob"):
        public, _ = make_keys(tmp_path / name)
        made[name] = (tmp_path / name, public)
    return made


def test_with_a_key_versions_and_moves_are_signed_and_loaded(place, publish, keys, monkeypatch):
    monkeypatch.setenv(SIGNING_KEY, str(keys["ann"][0]))
    registry = place.registry()
    publish(registry)
    registry.promote("adult", "v1")
    monkeypatch.delenv(SIGNING_KEY)
    monkeypatch.setenv(TRUSTED_KEYS, str(keys["ann"][1]))
    assert place.registry().load("adult", "champion").version == "v1"
    monkeypatch.delenv(TRUSTED_KEYS)
    assert place.registry().load("adult", "champion").version == "v1"


def test_what_is_not_signed_by_a_trusted_key_is_not_loaded(folder, publish, keys, monkeypatch):
    publish(folder.registry())
    folder.registry().promote("adult", "v1")
    monkeypatch.setenv(TRUSTED_KEYS, str(keys["ann"][1]))
    for which in ("v1", "champion"):
        with pytest.raises(UntrustedError, match="is not signed"):
            folder.registry().load("adult", which)
    monkeypatch.delenv(TRUSTED_KEYS)
    monkeypatch.setenv(SIGNING_KEY, str(keys["bob"][0]))
    other = folder.another()
    publish(other.registry())
    monkeypatch.delenv(SIGNING_KEY)
    monkeypatch.setenv(TRUSTED_KEYS, str(keys["ann"][1]))
    with pytest.raises(UntrustedError, match="not among those that are trusted"):
        other.registry().load("adult", "v1")
    both = folder.root.parent / "both.pub"
    both.write_bytes(keys["ann"][1].read_bytes() + keys["bob"][1].read_bytes())
    monkeypatch.setenv(TRUSTED_KEYS, str(both))
    assert other.registry().load("adult", "v1").version == "v1"


def test_a_forger_who_has_the_store_and_not_the_key_is_found_out(folder, publish, keys, monkeypatch):
    """Checksums can be made to fit by anybody; records cannot be moved to another name, number or kind either."""
    monkeypatch.setenv(SIGNING_KEY, str(keys["ann"][0]))
    registry = folder.registry()
    for content in "ab":
        publish(registry, content=content)
        registry.promote("adult", registry.latest("adult"))
    publish(registry, "german")
    whole = {key: folder.read(key) for key in (folder.of_manifest("adult", 1), folder.of_move("adult", 2))}

    def forged(key: str, **changes: object) -> bytes:
        record = json.loads(whole[key])
        signature = record["signature"]
        plain = json.loads(Seals().seal("any", {**record, **changes}))
        plain["signature"] = signature
        del plain["checksum"]
        from hashlib import sha256

        from tasks.registry.seals import canonical

        return json.dumps({**plain, "checksum": sha256(canonical(plain)).hexdigest()}).encode()

    manifest, move = whole
    folder.overwrite(manifest, forged(manifest, created="yesterday"))
    with pytest.raises(UntrustedError, match="its signature does not fit"):
        folder.registry().load("adult", "v1")
    folder.overwrite(manifest, whole[manifest])
    folder.overwrite(move, forged(move, to_version="v1"))
    with pytest.raises(UntrustedError, match="its signature does not fit"):
        folder.registry().load("adult", "champion")
    folder.overwrite(move, whole[move])
    folder.overwrite(folder.of_move("german", 2), whole[move])
    with pytest.raises(CorruptError, match="move 2 of adult"):
        folder.registry().aliases("german")
    seals = Seals.of_environment()
    with pytest.raises(UntrustedError):
        seals.unseal("manifest", seals.seal("move of an alias", {"format": 1}), "here")


def test_keys_are_for_their_owner_alone_never_overwritten_and_named_when_they_are_wrong(
    tmp_path, keys, monkeypatch, folder, caplog
):
    private, public = keys["ann"]
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    with pytest.raises(InputError, match="never overwritten"):
        make_keys(private)
    assert "PRIVATE" not in public.read_text()
    assert "PRIVATE" not in repr(Seals.of_environment())
    (tmp_path / "empty").write_text("")
    for variable, path, says in (
        (SIGNING_KEY, public, "not an unencrypted Ed25519 private key"),
        (SIGNING_KEY, tmp_path / "gone", "cannot be read"),
        (TRUSTED_KEYS, tmp_path / "empty", "holds no public key"),
        (TRUSTED_KEYS, private, "holds no public key"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(variable, str(path))
            with pytest.raises(InputError, match=says):
                folder.registry()
    private.chmod(0o644)
    monkeypatch.setenv(SIGNING_KEY, str(private))
    with caplog.at_level(logging.WARNING, "equipoise"):
        folder.registry()
    assert "chmod 600" in caplog.text
