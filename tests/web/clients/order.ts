// A producer on openapi-fetch with the types that openapi-typescript has generated.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { env: Record<string, string> };

const headers = { Authorization: `Bearer ${process.env.KEY}` };
const client = createClient<paths>({ baseUrl: process.env.API, headers });
// No field but these three: what has a default here need not be sent.
const wanted: components["schemas"]["OrderRequest"] = { amount: 1999, currency: "usd", payment_method: "pm_card_visa" };
const header = { "Idempotency-Key": "generated-typescript" };

const placed = await client.POST("/v1/orders", { params: { header }, body: wanted });
if (!placed.data) throw new Error(placed.error.detail);
const read = await client.GET("/v1/orders/{order_id}", { params: { path: { order_id: placed.data.id } } });
if (!read.data) throw new Error(read.error.detail);
const page = await client.GET("/v1/orders", { params: { query: { status: "pending" } } });
if (!page.data) throw new Error(page.error.detail);
const refused = await client.POST("/v1/orders", { params: { header }, body: { ...wanted, amount: 5000 } });
if (!refused.error) throw new Error("another body under the same key was taken");
const listed: string[] = page.data.data.map((order) => order.id);
console.log(JSON.stringify({ id: read.data.id, listed, refused: refused.error.type }));
