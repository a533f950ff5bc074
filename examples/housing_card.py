"""Describe the housing model for the people who call it: the contract written as ``model.toml``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NumericFeature:
    """A number of the ``numeric`` input, with the range a caller may send."""

    name: str
    kind: str
    description: str
    unit: str
    minimum: int
    maximum: int


@dataclass(frozen=True, slots=True)
class YesNoFeature:
    """A column of the ``categorical`` input."""

    name: str
    description: str


NUMERIC_FEATURES = (
    NumericFeature("lotsize", "number", "Area of the lot.", "square feet", 1000, 30000),
    NumericFeature("bedrooms", "integer", "Number of bedrooms.", "rooms", 1, 8),
    NumericFeature("bathrms", "integer", "Number of full bathrooms.", "rooms", 1, 6),
    NumericFeature("stories", "integer", "Number of stories, basement excluded.", "stories", 1, 5),
    NumericFeature("garagepl", "integer", "Number of garage places.", "cars", 0, 5),
)
"""In the order of the columns of ``numeric``. The data span 1650 to 16200 square feet, 1 to 6
bedrooms, 1 to 4 bathrooms, 1 to 4 stories and 0 to 3 garage places; each range leaves some room."""

YES_NO_FEATURES = (
    YesNoFeature("driveway", "Whether the house has a driveway."),
    YesNoFeature("recroom", "Whether the house has a recreational room."),
    YesNoFeature("fullbase", "Whether the house has a full, finished basement."),
    YesNoFeature("gashw", "Whether the house heats its water with gas."),
    YesNoFeature("airco", "Whether the house has central air conditioning."),
    YesNoFeature("prefarea", "Whether the house lies in a preferred neighbourhood of the city."),
)
"""In the order of the columns of ``categorical``."""

NUMERIC_COLUMNS = tuple(feature.name for feature in NUMERIC_FEATURES)
CATEGORICAL_COLUMNS = tuple(feature.name for feature in YES_NO_FEATURES)
COLUMNS = NUMERIC_COLUMNS + CATEGORICAL_COLUMNS

_HEAD = """\
# The contract of the housing model. Written by examples/train_housing.py; edit it there.
description = "Sale price of a house in Windsor, Ontario, in the summer of 1987."
unit_weight = 1 # units billed for one row

[batching]
max_batch_size = 256  # rows in one run of the model
max_queue_rows = 4096 # rows that may wait; more are refused with 503
"""
_NUMERIC = """
[[features]]
name = "{0.name}"
input = "numeric"
type = "{0.kind}"
description = "{0.description}"
unit = "{0.unit}"
minimum = {0.minimum}
maximum = {0.maximum}
"""
_YES_NO = """
[[features]]
name = "{0.name}"
input = "categorical"
type = "category"
description = "{0.description}"
categories = ["no", "yes"]
"""
_OUTPUT = """
[[outputs]]
name = "price"
description = "Expected sale price."
unit = "Canadian dollars of 1987"
"""


def render_model_toml(example: Mapping[str, float | str]) -> str:
    """Write the contract, with one row as the example that documentation shows."""
    features = [_NUMERIC.format(feature) for feature in NUMERIC_FEATURES]
    features += [_YES_NO.format(feature) for feature in YES_NO_FEATURES]
    row = [f"{name} = {json.dumps(example[name])}\n" for name in COLUMNS]
    return "".join([_HEAD, *features, _OUTPUT, "\n[example]\n", *row])
