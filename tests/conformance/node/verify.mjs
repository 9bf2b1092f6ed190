// Stripe's own verifier for Node: one JSON line in, {"body": base64, "header", "secret"}; the type of the event out.
//
// Exits with 1 where the SDK refuses the event.

import {createInterface} from 'node:readline';
import Stripe from 'stripe';

const stripe = new Stripe('sk_test_nobody');

for await (const line of createInterface({input: process.stdin})) {
  const {body, header, secret} = JSON.parse(line);
  const raw = Buffer.from(body, 'base64');
  const isThin = JSON.parse(raw).object === 'v2.core.event';
  const event = isThin
    ? stripe.parseEventNotification(raw, header, secret)
    : stripe.webhooks.constructEvent(raw, header, secret);
  process.stdout.write(`${event.type}\n`);
}
