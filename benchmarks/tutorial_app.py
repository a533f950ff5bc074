"""Target (b): the model behind a FastAPI endpoint as tutorials write it, with no gate at all."""

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.bare_app import CATEGORICAL, NUMERIC, open_session


class House(BaseModel):
    """One row."""

    lotsize: float
    bedrooms: int
    bathrms: int
    stories: int
    garagepl: int
    driveway: str
    recroom: str
    fullbase: str
    gashw: str
    airco: str
    prefarea: str


class Houses(BaseModel):
    """The request body."""

    instances: list[House]


class Prices(BaseModel):
    """The response body."""

    predictions: list[float]


def create_app() -> FastAPI:
    """Build the app; uvicorn calls this once (``--factory``)."""
    app = FastAPI()
    session = open_session()

    @app.post("/v1/models/housing:predict", response_model=Prices)
    def predict(houses: Houses) -> dict[str, list[float]]:
        rows = houses.instances
        numeric = [[getattr(row, name) for name in NUMERIC] for row in rows]
        categorical = [[getattr(row, name) for name in CATEGORICAL] for row in rows]
        outputs = session.run(
            ["price"],
            {
                "numeric": np.array(numeric, dtype=np.float32),
                "categorical": np.array(categorical, dtype=object),
            },
        )
        return {"predictions": outputs[0].tolist()}

    return app
