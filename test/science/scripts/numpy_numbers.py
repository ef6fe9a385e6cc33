"""Linear algebra, transforms, and random numbers that are the same everywhere."""

import numpy as np

rng = np.random.default_rng(42)
print("random", rng.random(3).tolist())
print("integers", rng.integers(0, 100, 8).tolist(), "choice", rng.choice(["a", "b", "c"], 5).tolist())
print("normal", rng.normal(size=3).round(12).tolist(), "shuffled", rng.permutation(8).tolist())
legacy = np.random.RandomState(42)
print(
    "legacy", legacy.rand(2).tolist(), legacy.randint(0, 100, 5).tolist(), legacy.randn(2).round(12).tolist()
)

a = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, 1.0], [0.5, 1.0, 2.0]])
print("solve", np.linalg.solve(a, [1.0, 2.0, 3.0]).round(10).tolist())
print("eigenvalues", np.linalg.eigvalsh(a).round(10).tolist(), "det", round(float(np.linalg.det(a)), 10))
u, s, vt = np.linalg.svd(np.arange(12.0).reshape(4, 3))
print("svd", s.round(8).tolist(), np.linalg.matrix_rank(np.arange(12.0).reshape(4, 3)))
print("lstsq", np.linalg.lstsq(np.vander([0, 1, 2, 3.0], 2), [1, 3, 5, 7.0])[0].round(10).tolist())

t = np.arange(64) / 64
spectrum = np.abs(np.fft.rfft(np.sin(2 * np.pi * 5 * t) + 0.5 * np.cos(2 * np.pi * 12 * t)))
print("spectrum", {int(k): round(float(spectrum[k]), 8) for k in np.nonzero(spectrum > 1)[0]})
print(
    "convolve",
    np.convolve([1, 2, 3], [0, 1, 0.5]).tolist(),
    "poly",
    np.roots([1, -6, 11, -6]).round(8).tolist(),
)
print("einsum", np.einsum("ij,jk->ik", a, a).round(4).tolist())
names = np.array([("Ada", 36), ("Max", 41)], dtype=[("name", "U8"), ("age", "i4")])
print(names[names["age"] > 40]["name"].tolist(), names.dtype)
print(np.array2string(np.linspace(0, 1, 7).reshape(7, 1).T, precision=3))
print(
    np.arange("2025-02-26", "2025-03-02", dtype="datetime64[D]").astype(str).tolist(),
    np.intp(1).itemsize >= 4,
)
