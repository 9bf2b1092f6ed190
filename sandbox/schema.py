"""Tables of the money that moves by others' will: disputes, warnings, payouts, and the currencies of settlement."""

MONEY = """
-- `refundable`: what the dispute says of its charge; `held`: its amount is out of the balance.
CREATE TABLE IF NOT EXISTS disputes (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, charge TEXT NOT NULL,
  payment_intent TEXT NOT NULL, refundable INTEGER NOT NULL, held INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS disputes_created ON disputes (created);
CREATE INDEX IF NOT EXISTS disputes_charge ON disputes (charge);
CREATE INDEX IF NOT EXISTS disputes_payment_intent ON disputes (payment_intent);
CREATE TABLE IF NOT EXISTS early_fraud_warnings (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, charge TEXT NOT NULL,
  payment_intent TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS early_fraud_warnings_created ON early_fraud_warnings (created);
CREATE INDEX IF NOT EXISTS early_fraud_warnings_charge ON early_fraud_warnings (charge);
CREATE INDEX IF NOT EXISTS early_fraud_warnings_payment_intent ON early_fraud_warnings (payment_intent);
CREATE TABLE IF NOT EXISTS payouts (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, arrival_date INTEGER NOT NULL,
  status TEXT NOT NULL, destination TEXT NOT NULL, currency TEXT NOT NULL, amount INTEGER NOT NULL,
  body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS payouts_created ON payouts (created);
CREATE INDEX IF NOT EXISTS balance_transactions_payout ON balance_transactions (payout) WHERE payout IS NOT NULL;
-- Payments in `currency` are booked in another one; without a row, in their own.
CREATE TABLE IF NOT EXISTS settlements (currency TEXT PRIMARY KEY, settles_in TEXT NOT NULL, rate TEXT NOT NULL)
  WITHOUT ROWID;
"""
