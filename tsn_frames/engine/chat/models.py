"""Which models a service lists."""

from __future__ import annotations

from ...api import Unreadable, load
from ...secret import Secret
from ..runtime.client import Client
from ..transport.http_types import HttpResponse
from ..transport.select_backend import open_stream


async def listed(client: Client, key: Secret) -> list[str]:
    """Return their names; none where the service has no list, which is no error."""
    transport = open_stream(client.base_url, key, client.timeout)
    try:
        answer = await transport.get(f"{client.base_url}/models")
    finally:
        await transport.aclose()
    try:
        listed = load(answer.body).get("data") if isinstance(answer, HttpResponse) and answer.status == 200 else []
        return [model["id"] for model in listed if isinstance(model["id"], str)]
    except (Unreadable, AttributeError, TypeError, KeyError):
        return []
