"""A CSV cleaned, grouped, pivoted and resampled."""

import pandas as pd

sales = pd.read_csv("sales.csv", parse_dates=["day"])
print(sales.shape, list(sales.columns), sales.isna().sum().to_dict())
sales["units"] = sales["units"].fillna(0).astype("int64")
sales["price"] = sales.groupby("product")["price"].transform(lambda prices: prices.fillna(prices.median()))
sales["revenue"] = sales["units"] * sales["price"]

by_region = sales.groupby("region").agg(
    units=("units", "sum"), revenue=("revenue", "sum"), mean_price=("price", "mean"), sales=("day", "count")
)
print(by_region.round(2).to_string())
print(sales.pivot_table(index="region", columns="product", values="revenue", aggfunc="sum").round(2).to_csv())
print(sales.set_index("day").resample("MS")["revenue"].sum().round(2).to_string())
best = sales.loc[sales.groupby("region")["revenue"].idxmax(), ["region", "product", "revenue"]]
print(best.to_dict("records"))
managers = pd.DataFrame({"region": ["North", "South", "East"], "manager": ["Ada", "Max", "Eva"]})
print(by_region.reset_index().merge(managers, on="region", how="outer", indicator=True).round(2).to_string())
print(sales["revenue"].describe().round(4).to_dict())
by_region["revenue"].round(2).to_dict()
