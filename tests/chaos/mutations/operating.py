"""People who act: the console's door, its forms and its faults, and the audit of what they did."""

from tests.chaos.mutations.mutation import Mutation

_ACCESS, _DOORWAY, _FRAME = "service/console/access.py", "service/console/doorway.py", "service/web/console/frame.py"
_STREAMS, _HOTLINE = "service/web/console/streams.py", "service/ops/chaos/hotline.py"
_SCRIPT = "service/console/static/console.js"
_DOOR, _LIVE, _CHAOS = "tests/console/test_access.py::", "tests/console/test_live.py::", "tests/ops/test_chaos.py::"
_AUDITED, _KEPT = "tests/audit/test_what_is_noted.py::", "tests/audit/test_append_only.py::"
_WHO_DID_WHAT = "migrations/versions/2026_11_28_0015_who_did_what.py"

OPERATING = (
    Mutation(
        "console: a link opens twice", _ACCESS,
        "WHERE hmac = :link AND used_at IS NULL AND expires_at", "WHERE hmac = :link AND expires_at",
        (_DOOR + "test_a_link_opens", _DOOR + "test_of_two_at_the_same"),
    ),
    Mutation(
        "console: a link opens for ever", _ACCESS,
        "AND used_at IS NULL AND expires_at > now()", "AND used_at IS NULL", (_DOOR + "test_an_old_link",),
    ),
    Mutation(
        "console: a session lasts for ever", _ACCESS,
        "AND ended_at IS NULL AND expires_at > now()", "AND ended_at IS NULL", (_DOOR + "test_a_session_that_has",),
    ),
    Mutation(
        "console: a session that was ended goes on", _ACCESS,
        "WHERE hmac = :hmac AND ended_at IS NULL AND expires_at", "WHERE hmac = :hmac AND expires_at",
        (_DOOR + "test_a_session_that_has",),
    ),
    Mutation(
        "console: a form acts without its token", _FRAME,
        'if not is_form_token(session_cookie(request), form.get("csrf", "")):', "if False:",
        (_DOOR + "test_a_form_needs_the_token",),
    ),
    Mutation(
        "console: any page signs out", "service/web/console/door.py",
        'if not is_form_token(cookie, (await form_of(request)).get("csrf", "")):', "if False:",
        (_DOOR + "test_a_form_needs_the_token",),
    ),
    Mutation(
        "console: a form of another page acts", _FRAME,
        'if request.method == "POST" and not doorway.is_own_form(headers):', "if False:",
        (_DOOR + "test_a_form_that_another_page",),
    ),
    Mutation(
        "console: a form that tells nothing of its page acts", _DOORWAY,
        "        if site is None and origin is None:\n            return False\n", "",
        (_DOOR + "test_a_form_that_another_page",),
    ),
    Mutation(
        "console: any site's form acts", _DOORWAY,
        'site in (None, "same-origin") and (origin', "(origin", (_DOOR + "test_a_form_that_another_page",),
    ),
    Mutation(
        "console: any origin's form acts", _DOORWAY,
        " and (origin is None or origin.lower() == own.lower())", "", (_DOOR + "test_a_form_that_another_page",),
    ),
    Mutation(
        "console: any name leads in", _DOORWAY,
        "if not _LOOPBACK.fullmatch(host):", "if False:", (_DOOR + "test_a_name_of_another_site",),
    ),
    Mutation(
        "console: a name that begins well leads in", _DOORWAY,
        "_LOOPBACK.fullmatch(host)", "_LOOPBACK.match(host)", (_DOOR + "test_a_name_of_another_site",),
    ),
    Mutation(
        "console: any name leads in behind TLS", _DOORWAY,
        "return None if host.lower() == named else", "return None if host else", (_DOOR + "test_behind_tls",),
    ),
    Mutation(
        "console: of two hosts the last is believed", _FRAME,
        'headers[key] = f"{headers[key]}, {text}" if key in headers else text', "headers[key] = text",
        (_DOOR + "test_two_of_a_header",),
    ),
    Mutation(
        "console: a proxy that nobody named leads in", _DOORWAY,
        "if any(name in headers for name in _PROXIED):", "if False:", (_DOOR + "test_a_proxy_that_nobody",),
    ),
    Mutation(
        "console: a network leads in unencrypted", _DOORWAY,
        "if not origin and not is_loopback(settings.host):", "if False:", (_DOOR + "test_it_is_not_served",),
    ),
    Mutation(
        "console: a cookie crosses a network unencrypted", _DOORWAY,
        'if found[1].lower() == "http" and not is_loopback(host):', "if False:",
        (_DOOR + "test_an_address_that_browsers",),
    ),
    Mutation(
        "console: scripts read the cookie", _FRAME, "httponly=True", "httponly=False", (_DOOR + "test_a_link_opens",),
    ),
    Mutation(
        "console: other sites send the cookie", _FRAME,
        'samesite="strict"', 'samesite="lax"', (_DOOR + "test_a_link_opens",),
    ),
    Mutation(
        "console: who may look acts", _FRAME,
        "if not visitor.may_operate:", "if False:", (_DOOR + "test_who_may_look",),
    ),
    Mutation(
        "console: whatever is said is believed", _ACCESS,
        "return text if hmac.compare_digest(mark.encode(), _seal(cookie, text).encode()) else None", "return text",
        (_DOOR + "test_what_is_said",),
    ),
    Mutation(
        "console: what is said in one session is believed in another", _ACCESS,
        'hmac.digest(cookie.encode(), b"said "', 'hmac.digest(b"said", b"said "',
        (_DOOR + "test_what_is_said",),
    ),
    Mutation(
        "console: pages load scripts of anybody", _FRAME,
        "script-src 'self'", "script-src *", (_DOOR + "test_every_answer",),
    ),
    Mutation(
        "console: a form asks anew each time it is sent", "service/web/console/order_actions.py",
        "found.whose.id, key, wanted)", "found.whose.id, fresh_key(), wanted)",
        ("tests/console/test_forms_sent_twice.py::test_a_refund",),
    ),
    Mutation(
        "console: a form of a page that is out of date acts", "service/web/console/order_actions.py",
        'if form.get("seen") == found.seen:', "if True:", ("tests/console/test_forms_sent_twice.py::test_of_two",),
    ),
    Mutation(
        "console: an act begins beside another", "service/console/acts.py",
        "if not await duties.hold(self._engine, name, holder):", "if False:",
        ("tests/console/test_acts.py::test_one_runs",),
    ),
    Mutation(
        "live: a stream begins without a session", _STREAMS,
        "    if await console.access.session(cookie) is None:\n        yield", "    if False:\n        yield",
        (_LIVE + "test_a_stream_without",),
    ),
    Mutation(
        "live: a stream goes on after its session", _STREAMS,
        "if await _has_ended(console, cookie):", "if False:", (_LIVE + "test_a_stream_ends",),
    ),
    Mutation(
        "live: what is pressed is replaced", _SCRIPT,
        'if (place.matches(":active")) {', "if (false) {",
        ("tests/console/test_live_in_a_browser.py::test_what_is_pressed",),
    ),
    Mutation(
        "live: the focus is lost where a part is replaced", _SCRIPT,
        "    same?.focus({preventScroll: true});\n", "",
        ("tests/console/test_live_in_a_browser.py::test_the_focus",),
    ),
    Mutation(
        "lists: the focus is lost with the link", _SCRIPT,
        '?.querySelector("a, summary, button")?.focus()', "",
        ("tests/console/test_lists_go_on.py::test_the_next_rows",),
    ),
    Mutation(
        "chaos: its page is there without a sandbox", "service/web/console/pages.py",
        "if settings.chaos_socket or not one.chaos_only", "if True", (_CHAOS + "test_the_page_exists",),
    ),
    Mutation(
        "chaos: faults where Stripe is no sandbox", "service/foundation/settings.py",
        "if settings.chaos_socket and (", "if False and (", (_CHAOS + "test_a_process_whose_stripe",),
    ),
    Mutation(
        "chaos: a stranger is answered", _HOTLINE,
        "if _uid_of(client) == os.geteuid():", "if True:", (_CHAOS + "test_a_stranger",),
    ),
    Mutation(
        "chaos: a stranger may ask", _HOTLINE, "os.umask(0o177)", "os.umask(0)", (_CHAOS + "test_only_this_user",),
    ),
    Mutation(
        "chaos: a day leaves endpoints as they were", "service/ops/chaos/day.py",
        "    resting_until = resting_until - $1, gone_at", "    gone_at",
        ("tests/ops/test_a_day_passes.py",),
    ),
    Mutation(
        "audit: a note has a transaction of its own", "service/accounts/making.py",
        "            raise NotFound(_UNKNOWN)\n        if not key.was_revoked:",
        "            raise NotFound(_UNKNOWN)\n    async with begin(engine) as tx:\n        if not key.was_revoked:",
        (_AUDITED + "test_an_action_is_noted",),
    ),
    Mutation(
        "audit: a refund is not noted", "service/refunds/asking.py",
        "        if who is not None:\n            after", "        if False:\n            after",
        ("tests/audit/test_what_the_console_notes.py::test_what_is_asked_of_an_order",),
    ),
    Mutation(
        "audit: a change of an order is not noted", "service/changes/asking.py",
        "    if who is not None:\n        before", "    if False:\n        before",
        ("tests/audit/test_what_the_console_notes.py::test_what_is_asked_of_an_order",),
    ),
    Mutation(
        "audit: a line is deleted", _WHO_DID_WHAT,
        "BEFORE UPDATE OR DELETE ON audit", "BEFORE UPDATE ON audit", (_KEPT + "test_the_owner",),
    ),
    Mutation(
        "audit: it is emptied", _WHO_DID_WHAT,
        "ALTER TABLE audit ENABLE ALWAYS TRIGGER audit_no_truncate\n",
        "DROP TRIGGER audit_no_truncate ON audit\n",
        (_KEPT + "test_the_owner",),
    ),
    Mutation(
        "audit: its triggers sleep in a replica's session", _WHO_DID_WHAT,
        "ENABLE ALWAYS TRIGGER audit_no_change;", "ENABLE TRIGGER audit_no_change;", (_KEPT + "test_the_owner",),
    ),
    Mutation(
        "audit: a process may delete", "service/foundation/postgres/roles.py",
        'endpoint_rolls audit"\n    ),\n    "SELECT, INSERT, DELETE": "reconciliation_findings"',
        'endpoint_rolls"\n    ),\n    "SELECT, INSERT, DELETE": "reconciliation_findings audit"',
        (_KEPT + "test_processes",),
    ),
)  # fmt: skip
