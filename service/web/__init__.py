"""Everything that knows HTTP; the only room that imports litestar and uvicorn.

app           the application, its server, and the handlers: read the request, call one noun, write the answer
body          a JSON reader that forgives nothing; batch cuts a batch into its items
query         the parameters of lists
problems      errors as RFC 9457; problem_types lists them
ratelimit     how often a key may ask
waiting       `Prefer: wait`
health        liveness and readiness
front         what a connection may do before it is authenticated
request_log   one line per request
parts         what one API process holds
openapi       the description, from shapes and examples; docs shows it
"""
