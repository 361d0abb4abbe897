"""The shape of the API's JSON: requests as they are sent and keyed, answers as they are read. Nothing else knows it."""

from .completion import Completion, Usage, decode, error_of
from .request import Request, Requests, Shape, body_head, messages_around
from .serialization import Unreadable, dumps, load

__all__ = [
    "Completion",
    "Request",
    "Requests",
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
