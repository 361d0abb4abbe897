"""The errors of the simulated service, with their documented JSON."""

from __future__ import annotations


class ApiError(Exception):
    """A refusal with its HTTP status, to be sent as the documented error JSON."""

    def __init__(self, status: int, message: str, kind: str, code: str | None, headers: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.headers = headers
        """More header lines, each ended by CR LF."""

    def payload(self) -> dict[str, object]:
        """Return the body of the answer."""
        return {"error": {"message": self.message, "type": self.kind, "code": self.code}}


def bad_request(message: str, code: str = "invalid_value") -> ApiError:
    """Refuse a request that breaks a rule of the API."""
    return ApiError(400, message, "invalid_request_error", code)


def bad_key(message: str) -> ApiError:
    """Refuse a missing or unknown key."""
    return ApiError(401, message, "auth_error", "invalid_api_key")


def empty_balance() -> ApiError:
    """Refuse because the balance is empty."""
    return ApiError(402, "Insufficient balance. Top up to go on.", "billing_error", "insufficient_balance")


def unknown_model(model: str) -> ApiError:
    """Refuse a model that is not served here."""
    return ApiError(404, f"The model {model!r} does not exist.", "invalid_request_error", "model_not_found")


def unknown_path(method: str, path: str) -> ApiError:
    """Refuse a path that is not part of the API."""
    return ApiError(404, f"Unknown endpoint: {method} {path}", "invalid_request_error", "not_found")


def wrong_method(method: str, allowed: str) -> ApiError:
    """Refuse a method that an endpoint does not have."""
    message = f"Method {method} is not allowed here; use {allowed}."
    return ApiError(405, message, "invalid_request_error", "method_not_allowed", f"allow: {allowed}\r\n")


def rate_limited(message: str, headers: str) -> ApiError:
    """Refuse a request that is over a limit."""
    return ApiError(429, message, "rate_limit_error", "rate_limit_exceeded", headers)


def server_error(status: int) -> ApiError:
    """Fail as a server does: 500 as documented, others as overloaded."""
    if status == 500:
        return ApiError(500, "Internal server error.", "server_error", "internal_error")
    return ApiError(status, "The model is overloaded. Try again later.", "server_error", "overloaded")
