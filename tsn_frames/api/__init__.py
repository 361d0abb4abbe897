"""The JSON of chat completions: requests as they are sent and keyed, answers as services write them."""

from .completion import Completion, decode
from .dialects.error_tables import Meaning
from .dialects.errors import EmptyAnswer, ErrorAnswer, ServiceError, error_of
from .dialects.usage import Usage
from .request import Request, RequestHead, Requests, around_user_text, body_head
from .serialization import Unreadable, dumps, load

__all__ = [
    "Completion",
    "EmptyAnswer",
    "ErrorAnswer",
    "Meaning",
    "Request",
    "RequestHead",
    "Requests",
    "ServiceError",
    "Unreadable",
    "Usage",
    "around_user_text",
    "body_head",
    "decode",
    "dumps",
    "error_of",
    "load",
]
