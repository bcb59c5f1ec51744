# The calls of the sandbox as an OpenAPI document. It is made of the table of routes, which knows the required
# keys and the status of each call, but not the types of its values.

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from ._crm import crm_routes
from ._messages import JSON, TOKEN_PATH
from ._routing import Route

_OBJECT: Final = {"type": "object"}
_NOT_EMPTY: Final = {"not": {"enum": [None, ""]}}
_ID: Final = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


def openapi_document() -> dict[str, Any]:
    """The document, in version 3.1 of OpenAPI."""
    paths: dict[str, dict[str, Any]] = {}
    for route in crm_routes():
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    problem = {"application/problem+json": {"schema": _OBJECT}, "text/html": {}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "The calls of TheBase that its sandbox has", "version": "2"},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "responses": {"Problem": {"description": "What is wrong", "content": problem}},
            "securitySchemes": {
                "token": {
                    "type": "oauth2",
                    "flows": {"clientCredentials": {"tokenUrl": TOKEN_PATH, "scopes": {}}},
                }
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    response: dict[str, Any] = {"description": HTTPStatus(route.status).phrase}
    if route.method != "DELETE":
        response["content"] = {JSON: {"schema": _OBJECT}}
    operation: dict[str, Any] = {
        "responses": {str(route.status): response, "default": {"$ref": "#/components/responses/Problem"}}
    }
    if route.path.endswith("{id}"):
        operation["parameters"] = [_ID]
    if route.method == "POST":
        keys = dict.fromkeys(route.required, _NOT_EMPTY)
        schema = {**_OBJECT, "required": list(route.required), "properties": keys}
        operation["requestBody"] = {"required": bool(keys), "content": {JSON: {"schema": schema}}}
    return operation
