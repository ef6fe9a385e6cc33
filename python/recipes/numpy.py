"""Run and forgotten when an image is built: what numpy loads late, and what most runs begin with."""

import io

import numpy as np
import numpy.char
import numpy.ctypeslib
import numpy.fft
import numpy.lib.format
import numpy.lib.recfunctions
import numpy.lib.stride_tricks
import numpy.linalg
import numpy.linalg.lapack_lite
import numpy.ma
import numpy.polynomial
import numpy.random
import numpy.strings
import numpy.testing
import numpy.typing

ROUNDS = 3


def arithmetic() -> None:
    for dtype in (np.float64, np.float32, np.int64, np.int32, np.uint8, np.complex128, np.bool_):
        a = np.arange(12).reshape(3, 4).astype(dtype)
        str(a + a), repr(a * a), a.sum(), a.mean(axis=0), a.max(), a == a, a[a > 1], a[:, [0, 2]], a.T @ a
    a = np.linspace(0.1, 1, 24).reshape(2, 3, 4)
    np.sin(a), np.exp(a), np.log(a), np.sqrt(a), a.std(), a.var(), np.median(a), np.percentile(a, [5, 95])
    (
        np.sort(a),
        np.argsort(a),
        np.unique(a, return_counts=True),
        np.cumsum(a),
        np.diff(a),
        np.where(a > 0.5, a, 0),
    )
    np.concatenate([a, a]), np.stack([a, a]), np.vstack([a[0], a[1]]), np.split(a, 2), np.pad(a[0], 1)
    np.histogram(a, bins=5), np.bincount([1, 2, 2]), np.digitize(a, [0.5]), np.interp(0.5, [0, 1], [1, 2])
    (
        np.einsum("ijk,ijk->i", a, a),
        np.tensordot(a, a, 3),
        np.outer(a[0, 0], a[0, 0]),
        np.convolve([1, 2], [1, 3]),
    )
    (
        np.meshgrid([1, 2], [3, 4]),
        np.gradient(a[0]),
        np.roll(a, 1),
        np.tile(a, 2),
        np.isclose(a, a),
        np.clip(a, 0, 1),
    )
    np.zeros((2, 2)).tolist(), np.ones(3).tobytes(), np.array2string(a, precision=2), np.nan_to_num([np.nan])
    np.vectorize(lambda x: x + 1)(a), np.apply_along_axis(sum, 0, a[0]), np.char.upper(np.array(["a"]))
    days = np.arange("2025-01-01", "2025-01-09", dtype="datetime64[D]")
    str(days), days[1] - days[0], np.is_busday(days)
    rows = np.array([("a", 1.5), ("b", 2.5)], dtype=[("name", "U4"), ("value", "f8")])
    str(rows), rows["value"].sum(), rows.view(np.recarray).name
    masked = np.ma.masked_invalid([1.0, np.nan])
    str(masked), masked.mean()
    with np.errstate(all="ignore"):
        np.array([1.0]) / 0
    np.testing.assert_allclose(a, a)


def submodules() -> None:
    a = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]])
    np.linalg.inv(a), np.linalg.solve(a, a[0]), np.linalg.det(a), np.linalg.norm(a), np.linalg.eig(a)
    np.linalg.eigh(a), np.linalg.svd(a), np.linalg.qr(a), np.linalg.cholesky(a), np.linalg.lstsq(a, a[0])
    np.linalg.matrix_rank(a), np.linalg.pinv(a), np.cov(a), np.corrcoef(a)
    (
        np.fft.ifft(np.fft.fft(a)),
        np.fft.irfft(np.fft.rfft(a)),
        np.fft.fft2(a),
        np.fft.fftfreq(8),
        np.fft.fftshift(a),
    )
    np.polyval(np.polyfit([0, 1, 2], [1, 3, 7], 2), 3), np.roots([1, -3, 2]), str(np.poly1d([1, 2]))
    np.polynomial.Polynomial.fit([0, 1, 2], [1, 3, 7], 2)(3), str(np.polynomial.Chebyshev([1, 2]))
    for bits in (np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64):
        np.random.Generator(bits()).random()
    rng = np.random.default_rng(1)
    (
        rng.random(3),
        rng.normal(size=3),
        rng.integers(9, size=3),
        rng.choice(9, 3),
        rng.permutation(9),
        rng.shuffle(a),
    )
    (
        rng.uniform(),
        rng.poisson(3),
        rng.exponential(),
        rng.multivariate_normal([0], [[1]]),
        rng.binomial(9, 0.5),
    )
    legacy = np.random.RandomState(1)
    legacy.rand(3), legacy.randn(3), legacy.randint(9), legacy.choice(9), legacy.permutation(9)
    np.random.rand(), np.random.randn(2), np.random.randint(9)


def reading_and_writing() -> None:
    a = np.arange(6.0).reshape(2, 3)
    file = io.BytesIO()
    np.save(file, a)
    file.seek(0)
    np.load(file)
    file = io.BytesIO()
    np.savez_compressed(file, a=a)
    file.seek(0)
    np.load(file)["a"]
    text = io.StringIO()
    np.savetxt(text, a, delimiter=",")
    text.seek(0)
    np.loadtxt(text, delimiter=",")
    np.genfromtxt(io.StringIO("1,2\n3,"), delimiter=",")
    for wrong in (lambda: a @ a, lambda: a[9], lambda: np.linalg.inv(np.zeros((2, 2)))):
        try:
            wrong()
        except (ValueError, IndexError, np.linalg.LinAlgError) as error:
            str(error)


for _ in range(ROUNDS):
    arithmetic()
    submodules()
    reading_and_writing()
