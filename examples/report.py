"""Totals per region and product, printed as a table and written to summary.csv.

vivarium run examples/report.py --file examples/sales.csv
"""

import csv
from collections import defaultdict
from decimal import Decimal

HEADER = ("region", "product", "units", "revenue", "growth")


def growth(by_month: dict[str, Decimal]) -> str:
    """From the first month with sales to the last."""
    months = sorted(by_month)
    if len(months) < 2:
        return "new"
    first, last = by_month[months[0]], by_month[months[-1]]
    return f"{(last - first) / first:+.1%}"


units: dict[tuple[str, str], int] = defaultdict(int)
revenue: dict[tuple[str, str], dict[str, Decimal]] = defaultdict(dict)
with open("sales.csv", newline="") as file:
    for sale in csv.DictReader(file):
        key = sale["region"], sale["product"]
        units[key] += int(sale["units"])
        revenue[key][sale["month"]] = int(sale["units"]) * Decimal(sale["price"])

totals = {key: sum(revenue[key].values(), Decimal()) for key in revenue}
rows = [
    (*key, str(units[key]), f"{total:.2f}", growth(revenue[key]))
    for key, total in sorted(totals.items(), key=lambda item: -item[1])
]
rows.append(("all", "", str(sum(units.values())), f"{sum(totals.values()):.2f}", ""))

widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]
for row in (HEADER, *rows):
    cells = zip(row, widths, (str.ljust, str.ljust, str.rjust, str.rjust, str.rjust), strict=True)
    print("  ".join(align(cell, width) for cell, width, align in cells).rstrip())

with open("summary.csv", "w", newline="") as file:
    csv.writer(file).writerows([HEADER, *rows])
