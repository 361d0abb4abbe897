"""The models that a service lists: ``GET /models``."""

from __future__ import annotations

from ...api.dialects.model_name_list import model_names
from ...api.serialization import try_load
from ...secret import Secret
from ..runtime.client import Client
from ..transport.http_types import HttpResponse
from ..transport.select_backend import get_models


async def list_models(client: Client, key: Secret) -> list[str]:
    """Return the models' names; an empty list where the service has no such endpoint, which is not an error."""
    if not client.cache.sends:
        return []
    answer = await get_models(client.base_url, key, client.timeout)
    if not isinstance(answer, HttpResponse) or answer.status != 200:
        return []
    return model_names(try_load(answer.body))
