"""/openapi.json, and at /docs a page that shows it: Swagger UI from an installed package, so that it works offline.

Only the files that the page needs are served, and its policy lets it load nothing from other servers.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
from litestar import HttpMethod, Request, route
from litestar.response.base import ASGIResponse

from service.foundation.errors import NotFound
from service.web.openapi import description

_READ = [HttpMethod.GET, HttpMethod.HEAD]
_PACKAGE = "swagger_ui"
_FILES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
# Swagger UI sets inline styles on the elements it makes, and shows its icons as data: images.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
}
_PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>effectively-once API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = b"""SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null, tryItOutEnabled: true,
  persistAuthorization: false
})
"""


@route("/", http_method=_READ)
async def home(request: Request[Any, Any, Any]) -> ASGIResponse:  # noqa: ARG001  the framework's signature
    """Redirect to the documentation."""
    return ASGIResponse(status_code=307, headers={"Location": "/docs"}, media_type="text/plain")


@route("/docs", http_method=_READ)
async def page(request: Request[Any, Any, Any]) -> ASGIResponse:  # noqa: ARG001  as above
    """The page."""
    return ASGIResponse(body=_PAGE, headers=_HEADERS, media_type="text/html")


@route("/docs/{name:str}", http_method=_READ)
async def asset(request: Request[Any, Any, Any]) -> ASGIResponse:
    """A file of the page."""
    body, media_type = _asset(request.scope["path_params"]["name"])
    headers = _HEADERS | {"Cache-Control": "public, max-age=3600"}
    return ASGIResponse(body=body, headers=headers, media_type=media_type)


@route("/openapi.json", http_method=_READ)
async def openapi_json(request: Request[Any, Any, Any]) -> ASGIResponse:  # noqa: ARG001  as above
    """The description of the API, for the page and for generators of clients."""
    return ASGIResponse(body=_openapi_json(), media_type="application/json")


HANDLERS = [page, asset, openapi_json, home]


@cache
def _openapi_json() -> bytes:
    return msgspec.json.encode(description())


@cache
def _asset(name: str) -> tuple[bytes, str]:
    if name == "start.js":
        return _START, "text/javascript"
    if name not in _FILES:
        raise NotFound("There is nothing at this address.")
    # Only the package's files are needed; importing its module would import web frameworks.
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise NotFound("The package swagger-ui-py is not installed, so there is no page; /openapi.json works.")
    return (Path(spec.origin).parent / "static" / name).read_bytes(), _FILES[name]
