"""A workbook written, read back, and taken through pandas."""

from datetime import date

import pandas as pd
from openpyxl import Workbook, load_workbook
from openpyxl.chart import BarChart, Reference
from openpyxl.styles import Font, PatternFill
from openpyxl.utils import get_column_letter

book = Workbook()
sheet = book.active
sheet.title = "Sales"
sheet.append(["Product", "Units", "Price", "Revenue", "Since"])
for row, (name, units, price) in enumerate([("Lantern", 12, 24.5), ("Kettle", 7, 39.9)], start=2):
    sheet.append([name, units, price, f"=B{row}*C{row}", date(2025, 1, row)])
for cell in sheet[1]:
    cell.font = Font(bold=True)
    cell.fill = PatternFill("solid", fgColor="DDDDDD")
sheet.column_dimensions["A"].width = 20
sheet.merge_cells("A5:C5")
sheet["A5"] = "The end é Ω"
chart = BarChart()
chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=3), titles_from_data=True)
sheet.add_chart(chart, "G2")
book.create_sheet("Empty")
book.save("sales.xlsx")

again = load_workbook("sales.xlsx")
print(again.sheetnames, again["Sales"].dimensions, again["Sales"].merged_cells.ranges)
for cells in again["Sales"].iter_rows(values_only=True):
    print(cells)
print(
    again["Sales"]["A1"].font.bold, again["Sales"]["A1"].fill.fgColor.rgb, again["Sales"]["E2"].number_format
)
print(again["Sales"].column_dimensions["A"].width, len(again["Sales"]._charts), get_column_letter(28))

frame = pd.DataFrame(
    {"name": ["a", "b"], "value": [1.5, 2.25], "day": pd.to_datetime(["2025-01-01", "2025-02-01"])}
)
frame.to_excel("frame.xlsx", index=False, sheet_name="Data")
read = pd.read_excel("frame.xlsx", sheet_name="Data")
print(read.equals(frame), read.to_csv(index=False))
pd.testing.assert_frame_equal(read, frame, check_dtype=False)
