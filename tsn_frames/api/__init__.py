"""The JSON of chat completions: requests as they are sent and keyed, answers as services write them."""

from .completion import Completion, decode
from .dialects.errors import ErrorAnswer, ServiceError, error_of
from .dialects.tables import Meaning
from .dialects.usage import Usage
from .request import Request, Requests, Shape, body_head, messages_around
from .serialization import Unreadable, dumps, load

__all__ = [
    "Completion",
    "ErrorAnswer",
    "Meaning",
    "Request",
    "Requests",
    "ServiceError",
    "Shape",
    "Unreadable",
    "Usage",
    "body_head",
    "decode",
    "dumps",
    "error_of",
    "load",
    "messages_around",
]
