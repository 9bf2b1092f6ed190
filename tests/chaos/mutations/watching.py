"""Keys and what they are good for, limits over the fleet, and what is counted, shown and logged."""

from tests.chaos.mutations.mutation import Mutation

_AUTH, _KEYS, _MAKING = "service/web/auth.py", "service/accounts/keys.py", "service/accounts/making.py"
_ADDRESS, _WRONG_KEYS = "service/web/client_address.py", "service/accounts/wrong_keys.py"
_LOG, _FLUSHING, _METRICS = "service/foundation/log.py", "service/duplicates/flushing.py", "service/web/metrics.py"
_LIVES_OF_KEYS, _SCOPES = "tests/accounts/test_lives_of_keys.py::", "tests/web/test_scopes.py::"
_LIMITS, _GUESSES = "tests/web/test_rate_limit.py::", "tests/web/test_wrong_keys.py::"
_LINES, _ABSORBED = "tests/foundation/test_log.py::", "tests/charges/test_absorbed.py::"
_SCRAPED, _BUCKETS = "tests/metrics/test_metrics.py::", "tests/foundation/test_buckets.py::"

WATCHING = (
    Mutation(
        "keys: any key is good for any route", _AUTH,
        "    if wanted not in caller.scopes:", "    if False:", (_SCOPES + "test_each_route",),
    ),
    Mutation(
        "keys: one that has ended opens", _KEYS,
        " AND (expires_at IS NULL OR expires_at > now())\n", "\n", (_LIVES_OF_KEYS + "test_unknown_revoked",),
    ),
    Mutation(
        "keys: one that is revoked opens", _KEYS,
        "AND revoked_at IS NULL AND (expires_at", "AND (expires_at", (_LIVES_OF_KEYS + "test_unknown_revoked",),
    ),
    Mutation(
        "keys: one is remembered beyond its end", _KEYS,
        "else min(CACHE_S, row.left_s)", "else CACHE_S", (_LIVES_OF_KEYS + "test_a_key_is_remembered",),
    ),
    Mutation(
        "keys: one with a typo costs a statement", _KEYS,
        "if key_form.is_mistyped(authorization[len(_BEARER) :]):", "if False:",
        (_LIVES_OF_KEYS + "test_a_key_made_before",),
    ),
    Mutation(
        "keys: the checksum misses letters that changed places", "service/foundation/text/key_form.py",
        "zlib.crc32(text)", "sum(text)", (_LIVES_OF_KEYS + "test_the_checksum", _LIVES_OF_KEYS + "test_every_slip"),
    ),
    Mutation(
        "keys: one is rolled twice", _MAKING,
        "if old.replaced_by is not None:", "if False:", (_LIVES_OF_KEYS + "test_a_rolled_key",),
    ),
    Mutation(
        "keys: two roll one at once", _MAKING,
        '        await tx.run(_HOLD, {"id": public_id})\n', "",
        (_LIVES_OF_KEYS + "test_two_rolls",),
    ),
    Mutation(
        "keys: an overlap makes one live longer", _MAKING,
        "least(coalesce(expires_at, 'infinity'), now() + CAST(:overlap AS interval))",
        "now() + CAST(:overlap AS interval)", (_LIVES_OF_KEYS + "test_an_overlap",),
    ),
    Mutation(
        "limits: a key's own is not looked at", "service/web/ratelimit.py",
        "        rps = caller.rps or self._rps\n", "        rps = self._rps\n", (_SCOPES + "test_a_key_has_a_limit",),
    ),
    Mutation(
        "limits: one for all keys", "service/web/ratelimit.py",
        'f"eo:door:{{{caller.key_id}}}"', '"eo:door:{all}"', (_LIMITS + "test_what_a_key",),
    ),
    Mutation(
        "limits: each process counts alone", "service/web/ratelimit.py",
        'f"eo:door:{{{caller.key_id}}}"', 'f"eo:door:{{{id(self)}}}"', (_LIMITS + "test_what_a_key",),
    ),
    Mutation(
        "limits: a bucket behind one that refuses pays", "service/foundation/buckets.py",
        "      refused = true\n", "", (_BUCKETS + "test_a_bucket_behind",),
    ),
    Mutation(
        "guesses: each process counts alone", _WRONG_KEYS,
        "if wait_s or self._fleet is None:", "if True:", (_GUESSES + "test_the_burst_is_one",),
    ),
    Mutation(
        "guesses: a machine has as many addresses as it likes", _WRONG_KEYS,
        "ip_network((parsed, 64), strict=False)", "ip_network((parsed, 128), strict=False)",
        (_GUESSES + "test_a_machine_has_one",),
    ),
    Mutation(
        "proxies: a client's own word is believed", _ADDRESS,
        "for hop in reversed(_hops(headers)):", "for hop in _hops(headers):", (_GUESSES + "test_a_client_is_whom",),
    ),
    Mutation(
        "proxies: anybody's word is believed", _ADDRESS,
        "if found is None or not is_in(trusted, found):", "if found is None:", (_GUESSES + "test_a_client_is_whom",),
    ),
    Mutation(
        "proxies: all clients of one are one", _AUTH,
        'client_of(peer, scope["headers"], check_networks(resources.settings.trusted_proxies))', "peer",
        (_GUESSES + "test_a_client_behind",),
    ),
    Mutation(
        "log: any field gets into a line", _LOG,
        "harmless(_LOGGER, level, allowed(_LOGGER, level, line))", "harmless(_LOGGER, level, line)",
        (_LINES + "test_a_field_that_nobody",),
    ),
    Mutation(
        "log: a secret gets into a line", _LOG,
        "harmless(_LOGGER, level, allowed(_LOGGER, level, line))", "allowed(_LOGGER, level, line)",
        (_LINES + "test_no_secret",),
    ),
    Mutation(
        "log: a secret gets into a line by a list", _LOG,
        "return [scrubbed(one) for one in value]", "return value", (_LINES + "test_no_secret",),
    ),
    Mutation(
        "log: a card number gets into a line as a number", _LOG,
        "is_long = type(value) is int and", "is_long = False and", (_LINES + "test_a_card_number",),
    ),
    Mutation(
        "log: the text of an error gets into a line", _LOG,
        '"why": in_words(error),', '"why": str(error),', (_LINES + "test_of_an_error",),
    ),
    Mutation(
        "log: a path gets into a line", "service/web/request_log.py",
        'route, status = scope.get("path_template") or _NO_ROUTE,', 'route, status = scope["path"],',
        ("tests/web/test_request_log.py", _SCRAPED + "test_what_a_client_invents"),
    ),
    Mutation(
        "duplicates: a batch whose answer was lost is counted twice", _FLUSHING,
        "WHERE w.batch < excluded.batch", "WHERE true", (_ABSORBED + "test_a_batch_whose_answer",),
    ),
    Mutation(
        "duplicates: a batch that could not be sent is forgotten", _FLUSHING,
        "        if self._batch is None:\n            self._batch", "        if True:\n            self._batch",
        (_ABSORBED + "test_while_postgresql",),
    ),
    Mutation(
        "duplicates: what is rolled back is counted", "service/foundation/postgres/sql.py",
        "        if self._committed is None:\n            do()", "        if True:\n            do()",
        (_ABSORBED + "test_nothing_is_counted",),
    ),
    Mutation(
        "duplicates: a flood fills the memory", "service/duplicates/absorbing.py",
        "if len(self.by_order) >= MOST:", "if False:", (_ABSORBED + "test_while_postgresql",),
    ),
    Mutation(
        "metrics: any key reads them", _METRICS,
        "scopes.Scope.OPS_READ", "scopes.Scope.ORDERS_READ", (_SCRAPED + "test_a_key_without",),
    ),
    Mutation(
        "metrics: any account reads them", _METRICS,
        "        if not allowed:", "        if False:", (_SCRAPED + "test_a_key_of_another",),
    ),
    Mutation(
        "metrics: who was let in once is let in for ever", _METRICS,
        " > self._clock() - _REMEMBERED_S:", ":", (_SCRAPED + "test_who_was_let_in",),
    ),
    Mutation(
        "metrics: without a database anybody reads them", _METRICS,
        'self._let_in.get(name, float("-inf"))', "max(self._let_in.values())",
        (_SCRAPED + "test_while_postgresql",),
    ),
    Mutation(
        "metrics: each scrape asks the database", "service/monitoring/gauges.py",
        "        if self._clock() - self._now.at < CACHED_S:\n            return\n", "",
        (_SCRAPED + "test_it_is_asked_once",),
    ),
)  # fmt: skip
