"""Models that check, convert, refuse, and describe themselves."""

import json
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, field_validator, model_validator


class Size(Enum):
    small = "s"
    large = "l"


class Item(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=10)]
    price: Decimal = Field(gt=0)
    size: Size = Size.small
    tags: list[str] = []

    @field_validator("name")
    @classmethod
    def tidy(cls, value: str) -> str:
        return value.strip().title()


class Order(BaseModel):
    kind: Literal["order"] = "order"
    day: date
    items: list[Item]
    limit: int | None = None

    @model_validator(mode="after")
    def within(self) -> "Order":
        if self.limit is not None and len(self.items) > self.limit:
            raise ValueError("too many items")
        return self


text = '{"day": "2025-03-01", "items": [{"name": " lamp ", "price": "9.50", "size": "l"}], "limit": "3"}'
order = Order.model_validate_json(text)
print(repr(order))
print(order.model_dump_json())
print(order.model_copy(update={"limit": 1}).model_dump(exclude={"items"}))
wrong = {"day": "yesterday", "items": [{"name": "", "price": -1, "size": "x"}], "limit": 0}
try:
    Order.model_validate(wrong)
except ValidationError as error:
    for one in error.errors(include_url=False):
        print(one["loc"], one["type"], one["msg"])
try:
    Order.model_validate({"day": "2025-03-01", "items": [{"name": "a", "price": 1}], "limit": 0})
except ValidationError as error:
    print(error.error_count(), error.errors()[0]["msg"])
print(json.dumps(Item.model_json_schema(), sort_keys=True))
print(TypeAdapter(dict[str, list[int]]).validate_python({"a": ["1", 2.0]}))
order.model_dump(mode="json")
