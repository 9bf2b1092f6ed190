// The official Node SDK behind a pipe: one JSON line of requests in, one JSON line of outcomes out.
//
// In:  [{"call": "paymentIntents.create", "arguments": [...], "options": {...}, "most": null or a number}, ...]
// Out: [{"status", "body", "headers", "request_id", "error"}, ...]; all requests of a line are made at once.
// The first line out tells the versions. Arguments of the program: the address; the key comes as STRIPE_API_KEY.

import {createInterface} from 'node:readline';
import Stripe from 'stripe';

const address = new URL(process.argv[2]);
const stripe = new Stripe(process.env.STRIPE_API_KEY, {
  protocol: address.protocol.replace(':', ''),
  host: address.hostname,
  port: address.port || (address.protocol === 'https:' ? 443 : 80),
  maxNetworkRetries: 0,
  telemetry: false,
});

// What the caller did not say is left to the SDK.
const given = (options) => Object.fromEntries(Object.entries(options).filter(([, value]) => value !== null));

function start({call, arguments: args, options}) {
  const names = call.split('.');
  const method = names.pop();
  const resource = names.reduce((inside, name) => inside[name], stripe);
  return resource[method](...args, given(options));
}

async function pages(request) {
  const data = [];
  for await (const item of start(request)) {
    data.push(item);
    if (data.length === request.most) break;
  }
  return {status: 200, body: {data}, headers: {}, request_id: null, error: null};
}

async function single(request) {
  const body = await start(request);
  // The SDK keeps no response of a list of the second API.
  const {statusCode, headers, requestId} = body.lastResponse ?? {statusCode: 200, headers: {}, requestId: null};
  return {status: statusCode, body, headers, request_id: requestId, error: null};
}

function refusal(error) {
  const {headers, statusCode, requestId, ...body} = error.raw ?? {};
  return {
    status: error.statusCode ?? 0,
    body,
    headers: error.headers ?? {},
    request_id: error.requestId ?? null,
    error: {
      kind: error.type.replace(/^Stripe/, ''),
      status: error.statusCode ?? null,
      code: error.code ?? null,
      decline_code: error.decline_code || null,
      param: error.param ?? null,
      message: error.message,
    },
  };
}

async function outcome(request) {
  try {
    return await (request.most === null ? single(request) : pages(request));
  } catch (error) {
    if (error instanceof Stripe.errors.StripeError) return refusal(error);
    throw error;
  }
}

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

say({sdk: Stripe.PACKAGE_VERSION, api: stripe.getApiField('version'), runtime: `Node ${process.versions.node}`});
for await (const line of createInterface({input: process.stdin})) {
  say(await Promise.all(JSON.parse(line).map(outcome)));
}
