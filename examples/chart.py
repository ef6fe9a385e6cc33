# /// script
# requires-python = ">=3.14"
# dependencies = ["pandas", "matplotlib"]
# ///
"""Revenue per month and region from a CSV, as a table and as a chart in chart.png.

vivarium run examples/chart.py --file examples/sales.csv
"""

import matplotlib.pyplot as plt
import pandas as pd

sales = pd.read_csv("sales.csv")
sales["revenue"] = sales["units"] * sales["price"]
table = sales.pivot_table(index="month", columns="region", values="revenue", aggfunc="sum")
print(table.to_string(float_format="{:.2f}".format))

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
table.plot.bar(stacked=True, ax=axes, rot=0, color=["#4c78a8", "#f58518", "#54a24b"])
axes.set(title="Revenue per month", xlabel="", ylabel="revenue")
axes.bar_label(axes.containers[-1], labels=[f"{total:.0f}" for total in table.sum(axis=1)], padding=3)
axes.spines[["top", "right"]].set_visible(False)
axes.margins(y=0.2)
axes.legend(loc="upper left", ncols=3, frameon=False)
figure.savefig("chart.png", dpi=150)
plt.close(figure)
