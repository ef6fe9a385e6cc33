"""Run and forgotten when an image is built, after `numpy.py`: pandas, matplotlib and pillow.

A warm-up leaves modules, caches and byte code, and no setting: what it registers it takes back.
"""

import io

import matplotlib

matplotlib.use("agg")

import matplotlib.backends.backend_agg
import matplotlib.backends.backend_svg
import matplotlib.cm
import matplotlib.colors
import matplotlib.dates
import matplotlib.gridspec
import matplotlib.patches
import matplotlib.path
import matplotlib.pyplot as plt
import matplotlib.ticker
import matplotlib.tri
import matplotlib.widgets
import mpl_toolkits.axes_grid1
import numpy as np
import pandas as pd
import pandas.api.extensions
import pandas.api.indexers
import pandas.api.types
import pandas.io.excel
import pandas.io.formats.console
import pandas.io.formats.css
import pandas.io.formats.html
import pandas.io.formats.info
import pandas.io.formats.string
import pandas.io.html
import pandas.io.json
import pandas.plotting
import pandas.testing
import pandas.tseries.frequencies
import pandas.tseries.holiday
import pandas.tseries.offsets
import PIL.ExifTags
import PIL.ImageChops
import PIL.ImageColor
import PIL.ImageEnhance
import PIL.ImageFilter
import PIL.ImageMath
import PIL.ImageMorph
import PIL.ImageOps
import PIL.ImageSequence
import PIL.ImageStat
from PIL import Image, ImageDraw, ImageFont

ROUNDS = 2
CSV = "day,region,units,price\n2025-01-01,North,3,2.5\n2025-01-02,South,,3.5\n2025-02-01,North,4,\n"


def frames() -> None:
    frame = pd.read_csv(io.StringIO(CSV), parse_dates=["day"])
    str(frame), repr(frame.units), frame.to_html(), frame._repr_html_(), frame.to_string(), frame.head(2)
    frame.info(buf=io.StringIO())
    frame.describe(), frame.dtypes, frame.isna().sum(), frame.fillna({"units": 0}), frame.dropna()
    frame["total"] = frame.units * frame.price
    (
        frame[frame.units > 2],
        frame.loc[0, "units"],
        frame.iloc[0:2],
        frame.query("units > 2"),
        frame.eval("units+1"),
    )
    (
        frame.sort_values("price"),
        frame.drop_duplicates(),
        frame.rename(columns={"units": "n"}),
        frame.nlargest(1, "units"),
    )
    (
        frame.groupby("region").units.sum(),
        frame.groupby(["region", "day"]).agg({"units": "sum", "price": "mean"}),
    )
    frame.groupby("region").agg(total=("units", "sum")), frame.groupby("region").units.transform("mean")
    frame.groupby("region").apply(len), frame.groupby("region").size(), frame.region.value_counts()
    (
        frame.merge(frame, on="region", how="left"),
        frame.set_index("day").join(frame.set_index("day"), rsuffix="_"),
    )
    pd.concat([frame, frame], ignore_index=True), frame.melt(id_vars="region", value_vars=["units"])
    frame.pivot_table(index="region", columns="day", values="units", aggfunc="sum", fill_value=0)
    pd.crosstab(frame.region, frame.units), frame.pivot(index="day", columns="region", values="units")
    frame.stack(), frame.set_index(["region", "day"]).unstack(), frame.corr(numeric_only=True), frame.T
    frame.apply(lambda row: row.units, axis=1), frame.units.map(str), frame.region.str.upper()
    frame.region.str.contains("o"), frame.region.str.split("o", expand=True), frame.region.astype("category")
    frame.region.str.extract("(N)"), frame.assign(double=frame.units * 2).explode("region"), frame.sample(1)
    pd.cut(frame.price, 2), pd.qcut(frame.units, 2), pd.get_dummies(frame.region), pd.factorize(frame.region)
    str(frame.iterrows()), list(frame.itertuples()), frame.to_dict("records"), frame.to_numpy(), frame.values


def times() -> None:
    index = pd.date_range("2025-01-01", periods=60, freq="D")
    series = pd.Series(np.arange(60.0), index=index)
    str(series), series.resample("W").sum(), series.resample("ME").mean(), series.rolling(7).mean()
    series.ewm(span=3).mean(), series.expanding().max(), series.shift(1), series.diff(), series.pct_change()
    series["2025-01"], series.index.month, series.interpolate(), series.cumsum(), series.asfreq("h")
    (
        pd.to_datetime(["2025-01-01", "2025-01-02"]).strftime("%d.%m.%Y"),
        pd.Timestamp("2025-01-01") + pd.Timedelta("1D"),
    )
    pd.period_range("2025-01", periods=3, freq="M"), pd.to_timedelta(["1h"]), index.tz_localize("UTC")
    pd.Timestamp("2025-01-01") + pd.offsets.MonthEnd(), pd.bdate_range("2025-01-01", periods=3)
    (
        pd.interval_range(0, 3),
        pd.MultiIndex.from_product([[1, 2], ["a"]]),
        pd.to_numeric(["1", "x"], errors="coerce"),
    )
    pd.Series([1, None], dtype="Int64").sum(), pd.Series([1.0, np.nan]).rank(), pd.Series(["a"]).unique()
    pd.Series([0, 1], dtype="Sparse[int]"), pd.array([True, None]), pd.util.hash_pandas_object(series)


def tables() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    pd.read_json(io.StringIO(frame.to_json(orient="records"))), pd.json_normalize({"a": {"b": 1}})
    frame.to_csv(), frame.to_csv(io.StringIO(), index=False), frame.to_dict()
    pd.read_csv(io.BytesIO(CSV.encode()), usecols=["units"], dtype={"units": "float32"}, index_col=None)
    list(pd.read_csv(io.StringIO(CSV), chunksize=2)), pd.read_table(io.StringIO("a\tb\n1\t2\n"))
    pd.read_fwf(io.StringIO("a b\n1 2\n")), pd.read_csv(io.StringIO("a;b\n1;2\n"), sep=None, engine="python")
    file = io.BytesIO()
    frame.to_pickle(file, compression=None)
    file.seek(0)
    pd.read_pickle(file, compression=None)
    pd.testing.assert_frame_equal(frame, frame)
    try:
        frame["missing"]
    except KeyError as error:
        str(error)


def save(figure: plt.Figure, *formats: str) -> None:
    for name in formats:
        figure.savefig(io.BytesIO(), format=name)
    plt.close(figure)


def charts() -> None:
    x = np.linspace(0.1, 10, 40)
    figure, axes = plt.subplots(2, 3, figsize=(9, 5), layout="constrained")
    (line, bar, scatter), (image, log, dates) = axes
    line.plot(x, np.sin(x), "o--", label="sin", color="tab:blue")
    line.fill_between(x, 0, np.sin(x), alpha=0.3)
    line.axhline(0, color="k")
    line.legend()
    line.grid(True)
    line.set(xlabel="$x^2$ and $\\frac{1}{\\sqrt{2\\pi}}$", ylabel="volts", title="Lines", xlim=(0, 10))
    for family in ("sans-serif", "serif", "monospace"):
        for options in ({}, {"weight": "bold"}, {"style": "italic"}):
            line.text(1, 0, f"{family} é", family=family, rotation=30, **options)
    line.annotate("peak", (1.5, 1), (4, 0.5), arrowprops={"arrowstyle": "->"})
    bars = bar.bar(["a", "b", "c"], [1, 3, 2], yerr=0.2)
    bar.bar_label(bars)
    bar.barh([4, 5], [1, 2])
    bar.tick_params(axis="x", rotation=45)
    points = scatter.scatter(x, x**2, c=x, s=20, cmap="viridis")
    figure.colorbar(points, ax=scatter)
    scatter.errorbar(x[:3], x[:3], yerr=1)
    shown = image.imshow(np.outer(x, x), aspect="auto", cmap="magma")
    figure.colorbar(shown, ax=image)
    log.loglog(x, x**2)
    log.semilogy(x, x)
    log.twinx().plot(x, x)
    dates.plot(pd.date_range("2025-01-01", periods=40).to_numpy(), x)
    dates.xaxis.set_major_formatter(matplotlib.dates.DateFormatter("%b %d"))
    figure.autofmt_xdate()
    figure.suptitle("All")
    figure.savefig(io.BytesIO(), format="png", bbox_inches="tight", dpi=150)
    # A layout is slow, and solved again by every draw.
    figure.set_layout_engine("none")
    save(figure, "png", "svg")


def more_charts() -> None:
    x = np.linspace(-1, 1, 12)
    grid = np.add.outer(x, x)
    figure, axes = plt.subplots(2, 3)
    axes[0, 0].hist(grid.ravel(), bins=8)
    axes[0, 0].add_patch(matplotlib.patches.Circle((0, 0), 1))
    axes[0, 1].boxplot([x, x])
    axes[0, 1].violinplot([x, x])
    axes[0, 2].pie([1, 2], labels=["a", "b"], autopct="%d%%")
    axes[1, 0].contourf(grid)
    axes[1, 0].clabel(axes[1, 0].contour(grid))
    axes[1, 0].quiver(grid, grid)
    axes[1, 1].pcolormesh(grid)
    axes[1, 1].stackplot(x, x + 1, x + 2)
    axes[1, 1].step(x, x)
    axes[1, 2].tricontourf(grid.ravel(), grid.T.ravel() ** 3 + np.arange(144), grid.ravel())
    figure.tight_layout()
    save(figure, "png", "svg")
    figure = plt.figure(figsize=(6, 3))
    solid = figure.add_subplot(1, 2, 1, projection="3d")
    solid.plot_surface(*np.meshgrid(x, x), grid, cmap="coolwarm")
    solid.scatter(x, x, x)
    figure.add_subplot(1, 2, 2, projection="polar").plot(x, abs(x))
    save(figure, "png")


def quick_charts() -> None:
    plt.plot([1, 2, 3])
    plt.title("pyplot")
    plt.xlabel("x")
    plt.ylabel("y")
    save(plt.gcf(), "png")
    with plt.style.context("ggplot"):
        frame = pd.DataFrame({"a": [1, 2], "b": [2, 1]}, index=pd.date_range("2025-01-01", periods=2))
        for kind in ("line", "bar", "hist", "box", "area"):
            frame.plot(kind=kind)
            save(plt.gcf(), "png")
        frame.plot.scatter("a", "b")
        frame.hist()
        plt.close("all")


def images() -> None:
    image = Image.new("RGB", (64, 48), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((4, 4, 30, 30), fill="red", outline=(0, 0, 0))
    draw.ellipse((10, 10, 50, 40), fill="#00ff0080")
    draw.line((0, 0, 63, 47), width=2)
    draw.polygon([(0, 0), (9, 0), (0, 9)], fill="blue")
    draw.text((5, 5), "text", fill="black", font=ImageFont.load_default())
    draw.text((5, 20), "text", fill="black", font=ImageFont.load_default(12))
    for name in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"):
        file = io.BytesIO()
        image.save(file, name)
        file.seek(0)
        Image.open(file).load()
    (
        image.resize((32, 24)),
        image.rotate(30, expand=True),
        image.crop((0, 0, 9, 9)),
        image.convert("L").histogram(),
    )
    (
        image.filter(PIL.ImageFilter.GaussianBlur(1)),
        PIL.ImageOps.grayscale(image),
        image.quantize(8),
        image.split(),
    )
    (
        PIL.ImageEnhance.Contrast(image).enhance(2),
        PIL.ImageStat.Stat(image).mean,
        PIL.ImageOps.fit(image, (9, 9)),
    )
    (
        Image.fromarray(np.asarray(image)).thumbnail((8, 8)),
        image.convert("RGBA"),
        image.getbbox(),
        image.transpose(0),
    )
    Image.blend(image, image, 0.5), image.paste("red", (0, 0, 4, 4)), image.getpixel((1, 1))
    PIL.ImageChops.difference(image, image), repr(image)


Image.init()
# Large enough for one round: they take most of the time.
charts()
more_charts()
for _ in range(ROUNDS):
    frames()
    times()
    tables()
    quick_charts()
    images()
plt.close("all")
# `DataFrame.plot` registers pandas' date converters, and a first date fixes matplotlib's epoch.
pandas.plotting.deregister_matplotlib_converters()
matplotlib.dates._reset_epoch_test_example()
