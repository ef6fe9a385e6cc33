"""No two runs of one image draw the same numbers, unless a seed is asked for."""

import gc
import random
import tempfile
import uuid

import numpy as np
import pytest
from numpy.random import MT19937, PCG64, SFC64, Generator, Philox, RandomState, SeedSequence

from vivarium import _entropy


class OwnSeed(random.Random):
    """A generator with a state of its own."""

    def seed(self, a=None, version=2):
        self.state = a

    def random(self):
        self.state = self.state * 3 + 1
        return self.state


@pytest.fixture
def image():
    """What packages may have made while the image was built, each by a way to draw from it."""
    own = OwnSeed(1)
    named = random.Random(7)
    rng = np.random.default_rng(0)
    legacy = RandomState(1)
    odd = RandomState(PCG64(1))
    twister = Generator(MT19937(3))
    philox = Philox(3)
    sfc = Generator(SFC64(3))
    draws = {
        "random": random.random,
        "instance": named.random,
        "own": own.random,
        "system": random.SystemRandom().random,
        "numpy": np.random.random,
        "normal": np.random.standard_normal,
        "legacy": legacy.random_sample,
        "odd": odd.random_sample,
        "generator": rng.random,
        "spawned": lambda: rng.spawn(1)[0].random(),
        "twister": twister.random,
        "philox": lambda: philox.random_raw(),
        "sfc": sfc.random,
    }
    # Half of a pair of normal numbers is kept for the next call.
    np.random.standard_normal()
    gc.collect()
    _entropy.find_generators()
    yield draws
    _entropy._randoms.clear()
    _entropy._states.clear()
    _entropy._bit_generators.clear()


def draw(image, seed=None):
    _entropy.forget_names()
    _entropy.reseed(seed)
    return {name: draw() for name, draw in image.items()}


def test_runs_differ(image):
    runs = [draw(image) for _ in range(3)]
    for name in image:
        assert len({run[name] for run in runs}) == 3, name


def test_runs_with_a_seed_agree(image):
    first, second, other = draw(image, 42), draw(image, 42), draw(image, 43)
    assert first.pop("system") != second.pop("system")
    assert first == second
    other.pop("system")
    assert not set(first.values()) & set(other.values())
    # No two generators of one run go the same way.
    assert len(set(first.values())) == len(first)


def test_a_seed_is_that_of_the_libraries(image):
    drawn = draw(image, 42)
    assert drawn["random"] == random.Random(42).random()
    assert drawn["numpy"] == RandomState(42).random_sample()
    state = RandomState(42)
    state.random_sample()
    assert drawn["normal"] == state.standard_normal()


def test_names(image):
    def names():
        return next(tempfile._get_candidate_names()), uuid.uuid1().hex[12:], uuid.getnode()

    seen = []
    for seed in (None, None, 5, 5):
        draw(image, seed)
        seen.append(names()[0])
    assert len(set(seen)) == 3
    assert seen[2] == seen[3]


def test_generators_that_can_not_be_seeded_are_left(image):
    class Counter(PCG64):
        def __init__(self):
            super().__init__(SeedSequence(1))

    counter = Counter()
    _entropy.find_generators()
    assert counter not in _entropy._bit_generators
    draw(image)


def test_frozen_generators_are_found():
    hidden = np.random.default_rng(0)
    gc.freeze()
    _entropy.find_generators()
    assert any(each is hidden.bit_generator for each in _entropy._bit_generators)
