"""A figure with text in three fonts: the widths of the words, and the picture on a coarse grid."""

import io

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

matplotlib.use("agg")
figure, axes = plt.subplots(figsize=(6, 4), dpi=100)
x = np.linspace(0, 2 * np.pi, 50)
axes.plot(x, np.sin(x), label="sine")
axes.bar([1, 3, 5], [0.5, 0.8, -0.4], width=0.6, color="tab:orange", label="bars")
axes.set_title("Three fonts and $\\sqrt{x^2 + 1}$")
axes.legend()
texts = {
    family: axes.text(1, -0.9 + 0.25 * row, "Quick brown é Ω", family=family, fontsize=18)
    for row, family in enumerate(["DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono"])
}
figure.canvas.draw()
# Lines with a tilde are compared loosely: FreeType hints by a pixel or so otherwise from build to build.
for family, text in texts.items():
    extent = text.get_window_extent()
    print(family)
    print("~", round(extent.width), round(extent.height))

file = io.BytesIO()
figure.savefig(file, format="png")
image = Image.open(io.BytesIO(file.getvalue()))
print(image.format, image.size, image.mode, 5_000 < len(file.getvalue()) < 60_000)
coarse = np.asarray(image.convert("L").resize((12, 8), Image.Resampling.BOX)).astype(int)
for row in coarse.tolist():
    print("~", *row)
vector = io.BytesIO()
figure.savefig(vector, format="svg")
print(vector.getvalue().startswith(b"<?xml"), vector.getvalue().count(b"<g id=") > 20)
