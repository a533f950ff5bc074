"""The ASGI entry point: read the settings, build the server."""

from gateway.app import Tollgate, create_app
from gateway.settings import load_settings


def application() -> Tollgate:
    """Build the server from the environment; a factory, so that importing does nothing."""
    return create_app(load_settings())
