"""Serve the API pages and the OpenAPI document, with nothing from elsewhere; they are public."""

from pathlib import Path
from typing import Final

import fastapi_offline
import orjson
from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

from gateway.errors import RouteNotFound

router = APIRouter(include_in_schema=False)

_FOLDER: Final = Path(fastapi_offline.__file__).parent / "static"
_ASSETS: Final = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"})


@router.get("/openapi.json")
async def read_document(request: Request) -> Response:
    """Describe every operation, those of the loaded models included."""
    return Response(orjson.dumps(request.app.openapi()), media_type="application/json")


@router.get("/docs")
async def show_page(request: Request) -> HTMLResponse:
    """Show the document as a page."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=request.app.title,
        swagger_js_url="/docs-assets/swagger-ui-bundle.js",
        swagger_css_url="/docs-assets/swagger-ui.css",
        swagger_favicon_url="/docs-assets/favicon.png",
    )


@router.get("/docs-assets/{name}")
async def read_asset(name: str) -> FileResponse:
    """Send one of the files that the page is made of.

    Threat: a name is only ever compared with those that we know, and never joined to a path first.

    Raises:
        RouteNotFound: there is no such file.
    """
    if name not in _ASSETS:
        raise RouteNotFound
    return FileResponse(_FOLDER / name)
