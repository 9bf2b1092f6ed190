"""Everything that knows HTTP; the only room that imports litestar and uvicorn.

app            the application and its server
orders         POST /v1/orders; the other handlers are in order_batches, order_reads, ledger and health
routes         every operation of the API; a new module of handlers is named there
operation      what a route is: its handler, and what the document says of it
inbox          POST /v1/stripe/events, which bears a signature and no key
auth           authentication, and the rate limit of reads
body           the strict reader of JSON; batch cuts a batch into its items
query          the parameters of query strings
problems       errors as answers (RFC 9457); problem_types is the table of them, with their statuses
ratelimit      how often a key may ask
waiting        `Prefer: wait`
front          the bounds of a connection that is not authenticated yet
request_log    one line per request
resources      what the handlers of one process share
openapi        the description, from routes, shapes and examples; docs shows it
"""

from service.web.app import create_app, run

__all__ = ["create_app", "run"]
