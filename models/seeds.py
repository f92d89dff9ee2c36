"""Seeds that follow from the run's seed and from what they are for, so that nothing shares randomness by accident."""

import hashlib


def derive_seed(seed: int, *purpose: str | int) -> int:
    """A seed in [0, 2^31) for this purpose; the same arguments give the same seed on every platform."""
    text = "\x1f".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
