"""Make the demo's plan, tenant and keys once, and find them again at the next start."""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from auth.actor import system
from auth.errors import AuthError
from auth.scopes import ALL_SCOPES, MODELS_READ, PREDICT, USAGE_READ, USAGE_READ_ALL
from auth.store import Store
from auth.tenants import PLATFORM_TENANT_ID
from gateway.errors import StartRefused
from gateway.model_documents import example_body
from gateway.services import Services
from inference.registry import ModelVersion

CUSTOMER_SCOPES = (PREDICT, MODELS_READ, USAGE_READ)
BILLING_SCOPES = (USAGE_READ, USAGE_READ_ALL)


class DemoDocument(BaseModel):
    """What `demo.json` holds: where the server is, who may call, and a body to call it with."""

    url: str
    tenant_id: str
    api_key: str = Field(repr=False)
    admin_key: str = Field(repr=False)
    billing_key: str = Field(repr=False)
    model: str
    example: dict[str, Any]


class Credentials(BaseModel):
    """The part of `demo.json` that a second start uses again."""

    tenant_id: str
    api_key: str = Field(repr=False)
    admin_key: str = Field(repr=False)
    billing_key: str = Field(repr=False)


async def prepare_demo(services: Services, *, url: str, path: Path) -> DemoDocument:
    """Return the demo of this server: stored keys if they all still work, else new ones.

    Raises:
        StartRefused: no model of the repository comes with an example.
    """
    model, example = _first_example(services.registry.models())
    credentials = _read(path)
    if credentials is None or not await _work(services, credentials, model):
        credentials = await _create(services.store)
    return DemoDocument(
        url=url, model=model, example=example, **credentials.model_dump(mode="python")
    )


def write_demo(path: Path, document: DemoDocument) -> None:
    """Write the file whole or not at all, readable by its owner only.

    Threat: it holds an admin's key, so it is never, even for a moment, readable by others.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(document.model_dump_json(indent=2) + "\n")
        Path(name).replace(path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise


def _first_example(models: list[ModelVersion]) -> tuple[str, dict[str, Any]]:
    newest = {model.name: model for model in models}.values()
    for model in sorted(newest, key=lambda model: not model.contract.is_named):  # named rows first
        example = example_body(model)
        if example is not None:
            return model.name, example
    raise StartRefused("the demo needs a model with an example; see `tollgate check`")


def _read(path: Path) -> Credentials | None:
    try:
        return Credentials.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


async def _work(services: Services, credentials: Credentials, model: str) -> bool:
    """Tell whether all three keys are accepted and may do what the demo shows."""
    authenticate = services.prediction.authenticate
    try:
        customer = await authenticate(credentials.api_key)
        admin = await authenticate(credentials.admin_key)
        billing = await authenticate(credentials.billing_key)
    except AuthError:
        return False
    return (
        customer.tenant_id == credentials.tenant_id
        and customer.may_use(model)
        and customer.scopes.issuperset(CUSTOMER_SCOPES)
        and admin.scopes.issuperset(ALL_SCOPES)
        and billing.scopes.issuperset(BILLING_SCOPES)
    )


async def _create(store: Store) -> Credentials:
    actor = system("demo")
    plan = await store.create_plan(
        actor=actor,
        name="demo",
        requests_per_second=1000.0,
        burst=2000,
        units_per_month=1_000_000,
        max_in_flight=256,
    )
    tenant = await store.create_tenant(
        actor=actor, name="Demo", plan_id=plan.plan_id, models=("*",)
    )
    customer = await store.create_key(
        tenant.tenant_id, actor=actor, name="demo", scopes=CUSTOMER_SCOPES
    )
    admin = await store.create_key(
        PLATFORM_TENANT_ID, actor=actor, name="demo admin", scopes=ALL_SCOPES
    )
    billing = await store.create_key(
        PLATFORM_TENANT_ID, actor=actor, name="demo billing", scopes=BILLING_SCOPES
    )
    return Credentials(
        tenant_id=tenant.tenant_id,
        api_key=customer.api_key,
        admin_key=admin.api_key,
        billing_key=billing.api_key,
    )
