"""Fresh random numbers for every run, or those of its seed.

An image holds the state of each generator that its packages made. Every run starts from it, so without this
all of them would draw the same numbers.
"""

import gc
import os
import random
import sys
import tempfile
import uuid
from struct import Struct
from typing import Any

from ._pristine import pristine as __builtins__  # noqa: F401

_urandom = os.urandom
_Random = random.Random
_SystemRandom = random.SystemRandom
_seed_random = random.Random.seed
_shared_random = random._inst
_modules = sys.modules
_from_bytes = int.from_bytes
_unpack = Struct("<4I").unpack
_NameSequence: Any = tempfile._RandomNameSequence  # type: ignore[attr-defined]

# Held for good: they are the image's.
_randoms: list[random.Random] = []
# `numpy.random.RandomState`s over a Mersenne Twister; and all other bit generators, which a `Generator` uses.
_states: list[Any] = []
_bit_generators: list[Any] = []
_seed_sequence: Any = None


def find_generators() -> None:
    """Notes the live generators of `random` and numpy. Undoes `gc.freeze()`, which hides objects."""
    global _seed_sequence
    gc.unfreeze()
    numpy_random = _modules.get("numpy.random")
    state_type = getattr(numpy_random, "RandomState", ())
    bits_type = getattr(numpy_random, "BitGenerator", ())
    _seed_sequence = getattr(numpy_random, "SeedSequence", None)
    _randoms.clear()
    _states.clear()
    _bit_generators.clear()
    for each in gc.get_objects():
        kind = type(each)
        if issubclass(kind, _Random):
            if each is not _shared_random and not issubclass(kind, _SystemRandom):
                _randoms.append(each)
        elif issubclass(kind, state_type):
            if _works(state_type.seed, each, 0):
                _states.append(each)
        elif issubclass(kind, bits_type):
            _bit_generators.append(each)
    reseeded = {id(state._bit_generator) for state in _states}
    _bit_generators[:] = [
        each for each in _bit_generators if id(each) not in reseeded and _works(_reseed_bits, each, 0)
    ]


def reseed(seed: int | None) -> None:
    """No two runs of one image draw the same numbers, unless they ask for it.

    `secrets`, `uuid4` and generators that the run makes without a seed draw from the system in any case.
    """
    if seed is None:
        # 128 bits each, all at once: the system is far away.
        count = 1 + len(_randoms) + len(_states) + len(_bit_generators)
        entropy = _Stream(_urandom(16 * count))
        _seed_random(_shared_random, entropy.number())
    else:
        entropy = _Stream(_Random(seed).randbytes(16 * (1 + len(_randoms) + len(_states))))
        _seed_random(_shared_random, seed)
        names = _NameSequence()
        _seed_random(names.rng, entropy.number())
        tempfile._name_sequence = names  # type: ignore[attr-defined]
    for each in _randoms:
        value = entropy.number()
        # A subclass may have a state of its own.
        if not _works(each.seed, value):
            _seed_random(each, value)
    for state in _states:
        # Four words: numpy's own choice, which are 624, takes ten times as long.
        state.seed(entropy.words())
    for index, bits in enumerate(_bit_generators):
        if seed is None:
            _reseed_bits(bits, entropy.number())
        else:
            _reseed_bits(bits, seed, (index,))
    numpy_random = _modules.get("numpy.random")
    if numpy_random is not None and (seed is not None or not _states):
        # As `numpy.random.seed(n)` natively.
        numpy_random.seed(None if seed is None else seed % (1 << 32))


def forget_names() -> None:
    """Names that tempfile and uuid derive from what they drew once."""
    tempfile._name_sequence = None  # type: ignore[attr-defined]
    uuid._node = None  # type: ignore[attr-defined]
    for name in ("_last_timestamp", "_last_timestamp_v6", "_last_timestamp_v7"):
        if hasattr(uuid, name):
            setattr(uuid, name, None)


class _Stream:
    """Bytes, taken 16 at a time."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self) -> int:
        self._at += 16
        return _from_bytes(self._data[self._at - 16 : self._at], "little")

    def words(self) -> tuple[int, ...]:
        self._at += 16
        return _unpack(self._data[self._at - 16 : self._at])


def _reseed_bits(bits: Any, entropy: int, spawn_key: tuple[int, ...] = ()) -> None:
    """Also replaces its seed sequence, of which `Generator.spawn` makes others."""
    fresh = type(bits)(_seed_sequence(entropy, spawn_key=spawn_key))
    bits.__setstate__((fresh.state, fresh.seed_seq))


def _works(function: Any, *args: object) -> bool:
    try:
        function(*args)
    except Exception:
        return False
    return True
