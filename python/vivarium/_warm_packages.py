"""Run and forgotten, as `_warm.py`: the first calls of packages that the image holds. Imports nothing new."""

import sys
from io import BytesIO, StringIO
from typing import Any


def warm_numpy(np: Any) -> None:
    a = np.arange(24, dtype=np.float64).reshape(4, 6)
    a.sum(), a.mean(axis=0), (a @ a.T).max(), np.sort(a[::-1], axis=0), np.sqrt(a) + a * 2
    np.linalg.inv(np.eye(3) * 2)
    np.random.default_rng(1).normal(size=8)
    repr(a), a[a > 3].tolist()


def warm_pandas(pd: Any) -> None:
    frame = pd.read_csv(StringIO("k,v\na,1\nb,2\na,3\n"))
    summary = frame.groupby("k")["v"].agg(["sum", "mean"])
    repr(frame.merge(summary.reset_index(), on="k").sort_values("v"))
    frame.describe()._repr_html_()


def warm_figures(plt: Any) -> None:
    figure, axes = plt.subplots()
    axes.plot([1, 2, 3], label="a")
    axes.bar([1, 2], [3, 4])
    axes.set_title("warm")
    axes.legend()
    figure.savefig(BytesIO(), format="png", bbox_inches="tight")
    plt.close(figure)


for _name, _warm in (
    ("numpy", warm_numpy),
    ("pandas", warm_pandas),
    ("matplotlib.pyplot", warm_figures),
):
    _module = sys.modules.get(_name)
    if _module is not None:
        _warm(_module)

_np = sys.modules.get("numpy")
_pd = sys.modules.get("pandas")
# Its value is converted, which is to be warm too.
[
    _np and [_np.arange(4.0), _np.eye(2), _np.float64(1)],
    _pd and _pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
]
