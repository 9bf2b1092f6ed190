"""What makes everything that is stored older: days pass, and neither clock is touched (R28)."""

from service.outbox.handling import OLDER

DAY_S = 25 * 3600  # more than a look-up needs to count
_HISTORY = """
    history = (SELECT coalesce(jsonb_agg(
        h.entry || jsonb_build_object('at', (h.entry ->> 'at')::timestamptz - $1) ORDER BY h.n), '[]')
      FROM jsonb_array_elements(history) WITH ORDINALITY AS h(entry, n))"""
_EFFECT = """
    created_at = created_at - $1, updated_at = updated_at - $1,
    first_sent_at = first_sent_at - $1, last_sent_at = last_sent_at - $1, lease_until = lease_until - $1,
    $history"""
# Movements of refunds keep Stripe's moments, as those keep theirs. What else stays: tests/ops/test_a_day_passes.py.
_OLDER = (
    """
LOCK TABLE orders, operations, charges, changes, refunds, lives, order_aliases, instance, stripe_events, sweeps,
  balance_transactions, settlement_currencies, disputes, fraud_warnings, payouts, notices, accounts, api_keys,
  webhook_endpoints, endpoint_rolls, undated_charges, absorptions;
UPDATE accounts SET created_at = created_at - $1;
UPDATE api_keys SET created_at = created_at - $1, expires_at = expires_at - $1, last_used_at = last_used_at - $1,
    revoked_at = revoked_at - $1;
UPDATE orders SET created_at = created_at - $1, updated_at = updated_at - $1;
$outbox;
UPDATE operations SET created_at = created_at - $1;
UPDATE charges SET stripe_created = stripe_created - $1, charged_at = charged_at - $1, $effect;
UPDATE changes SET $effect;
UPDATE refunds SET $effect;
UPDATE lives SET seen_at = seen_at - $1, bound = bound - $1, verified_until = verified_until - $1,
    heartbeat_at = heartbeat_at - $1, verifier_until = verifier_until - $1;
UPDATE order_aliases SET created_at = created_at - $1;
UPDATE instance SET created_at = created_at - $1, balance_opened_at = balance_opened_at - $1;
UPDATE stripe_events SET stripe_created = stripe_created - $1, received_at = received_at - $1,
    settled_at = settled_at - $1, look_at = look_at - $1;
UPDATE sweeps SET swept_until = swept_until - $1, swept_at = swept_at - $1;
UPDATE balance_transactions SET seen_at = seen_at - $1, look_at = look_at - $1;
UPDATE balance_transactions SET stripe_created = stripe_created - $1, available_on = available_on - $1
 WHERE source NOT LIKE 're\\_%';
UPDATE settlement_currencies SET seen_at = seen_at - $1;
UPDATE disputes SET stripe_created = stripe_created - $1, created_at = created_at - $1, updated_at = updated_at - $1,
    evidence_due_by = evidence_due_by - $1, $history;
UPDATE fraud_warnings SET stripe_created = stripe_created - $1, created_at = created_at - $1;
UPDATE payouts SET stripe_created = stripe_created - $1, created_at = created_at - $1, updated_at = updated_at - $1,
    arrival_date = (arrival_date - $1)::date, listed_at = listed_at - $1, $history;
UPDATE notices SET created_at = created_at - $1, promised_at = promised_at - $1, deliver_after = deliver_after - $1,
    tried_at = tried_at - $1, ended_at = ended_at - $1;
UPDATE webhook_endpoints SET created_at = created_at - $1, failing_since = failing_since - $1,
    resting_until = resting_until - $1, gone_at = gone_at - $1, deleted_at = deleted_at - $1;
UPDATE endpoint_rolls SET created_at = created_at - $1;
UPDATE undated_charges SET look_at = look_at - $1;
UPDATE absorptions SET at = at - $1;
""".replace("$outbox", OLDER)
    .replace("$effect", _EFFECT)
    .replace("$history", _HISTORY)
)


def older(days: int) -> str:
    """The statements that make everything stored here so many days older."""
    return _OLDER.replace("$1", f"interval '{days * DAY_S} s'") if days else ""
