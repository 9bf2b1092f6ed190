"""Errors in Stripe's words and shape: `{"error": {"type", "code", "message", "param", …}}`.

One class carries them all, because on the wire they differ only in their fields. The functions below are the
sentences that Stripe says, so that no endpoint invents its own.
"""

import msgspec

from sandbox.objects import Json

DOC_URL = "https://stripe.com/docs/error-codes/"


class ApiError(Exception):
    """An answer that is not a success. `extra` adds fields to the error object, `should_retry` sets the header."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        extra: Json | None = None,
        should_retry: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.should_retry = should_retry
        self.headers: list[tuple[bytes, bytes]] = []
        self.error: Json = {"message": message, "type": kind}
        if code is not None:
            self.error |= {"code": code, "doc_url": DOC_URL + code.replace("_", "-")}
        if param is not None:
            self.error["param"] = param
        self.error |= extra or {}

    def body(self, request_id: str) -> bytes:
        """The JSON answer; Stripe names the request inside the error too (as the log's address)."""
        log_url = f"https://dashboard.stripe.com/test/logs/{request_id}"
        return msgspec.json.encode({"error": {**self.error, "request_log_url": log_url}})


def invalid(message: str, *, code: str | None = None, param: str | None = None) -> ApiError:
    """400: a parameter is wrong. Nothing was executed and nothing is saved under the key."""
    return ApiError(400, "invalid_request_error", message, code=code, param=param)


def missing_param(param: str) -> ApiError:
    """400: a required parameter was not sent."""
    return invalid(f"Missing required param: {param}.", code="parameter_missing", param=param)


def unknown_params(names: list[str]) -> ApiError:
    """400: Stripe refuses what it does not know, so a misspelt parameter never passes silently."""
    plural = "s" if len(names) > 1 else ""
    message = f"Received unknown parameter{plural}: {', '.join(names)}"
    return invalid(message, code="parameter_unknown", param=names[0])


def not_done(what: str, param: str | None = None, status: int = 400) -> ApiError:
    """A limit of the sandbox, in words that nobody takes for Stripe's verdict."""
    return ApiError(status, "invalid_request_error", f"The sandbox does not do {what} yet.", param=param)


def only_one_of(*names: str) -> ApiError:
    """400: parameters that exclude each other. Stripe names them in alphabetical order."""
    return invalid(f"You may only specify one of these parameters: {', '.join(names)}.", param=names[0])


def no_such(noun: str, object_id: str, param: str, status: int = 404) -> ApiError:
    """404 for the object of the URL, 400 for one that a parameter names."""
    message = f"No such {noun}: '{object_id}'"
    return ApiError(status, "invalid_request_error", message, code="resource_missing", param=param)


def unrecognized_url(method: str, path: str) -> ApiError:
    """404: Stripe has no such endpoint. The sentence is as public code quotes it for `payment_intents//confirm`."""
    message = (
        f"Unrecognized request URL ({method}: {path}). If you are trying to list objects, remove the trailing slash. "
        "If you are trying to retrieve an object, make sure you passed a valid (non-empty) identifier in your code. "
        "Please see https://stripe.com/docs or we can help at https://support.stripe.com/."
    )
    return ApiError(404, "invalid_request_error", message)


def unauthenticated(message: str, code: str | None = None) -> ApiError:
    """401: answered before anything else is looked at."""
    return ApiError(401, "authentication_error", message, code=code)


def forbidden(permission: str | None = None) -> ApiError:
    """403: the key is real but may not do this; Stripe names the permission of a restricted key."""
    message = "The provided key does not have the required permissions for this endpoint on this account."
    if permission is not None:
        message += f" Having the '{permission}' permission would allow this request to continue."
    return ApiError(403, "invalid_request_error", message)


def too_many_requests() -> ApiError:
    """429 from the rate limiter, which stands before the idempotency layer."""
    message = "Request rate limit exceeded. Learn more about rate limits here: https://stripe.com/docs/rate-limits."
    error = ApiError(429, "invalid_request_error", message, code="rate_limit")
    # One of the five reasons on Stripe's page about rate limits; a lock_timeout carries none.
    error.headers = [(b"stripe-rate-limited-reason", b"endpoint-rate")]
    return error


def lock_timeout() -> ApiError:
    """429 because another request holds the object; Stripe invites a repeat."""
    message = "This object cannot be accessed right now because another API request is currently accessing it."
    return ApiError(429, "invalid_request_error", message, code="lock_timeout", should_retry=True)


def key_in_use(key: str) -> ApiError:
    """409: the first request with this key is still running."""
    message = (
        f"There is currently another in-progress request using this Idempotent Key ({key}). Please try again later."
    )
    return ApiError(409, "idempotency_error", message, code="idempotency_key_in_use", should_retry=True)


def key_reused(key: str, endpoint: str | None) -> ApiError:
    """400: the key came before with other parameters, or (`endpoint` given) at that other endpoint."""
    bound = (
        f"for the same endpoint they were first used for ('{endpoint}')"
        if endpoint
        else ("with the same parameters they were first used with")
    )
    message = (
        f"Keys for idempotent requests can only be used {bound}. "
        f"Try using a key other than '{key}' if you meant to execute a different request."
    )
    return ApiError(400, "idempotency_error", message)


def failed_dependency() -> ApiError:
    """424: something behind Stripe failed; whether the request took effect is not said."""
    return ApiError(424, "api_error", "An external dependency failed while serving this request.")


def server_error(*, should_retry: bool = False) -> ApiError:
    """500. Stripe tells clients not to repeat it, because the same key would replay the same 500."""
    message = "An unknown error occurred. Contact us at support@stripe.com if you are persistently seeing this error."
    return ApiError(500, "api_error", message, should_retry=should_retry)
