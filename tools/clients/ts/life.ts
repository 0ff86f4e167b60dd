// The life of a key, with types that openapi-typescript made.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const client = createClient<paths>({ baseUrl: process.argv[2] });

const must = <T>(step: string, status: number, answer: { data?: T; response: Response; error?: unknown }): T => {
  if (answer.response.status !== status) throw new Error(`${step}: status ${answer.response.status}, want ${status}: ${JSON.stringify(answer.error)}`);
  return answer.data as T;
};

const issued = must("create", 201, await client.POST("/v1/keys", {
  params: { header: { "Idempotency-Key": "ts-client-0123456789" } },
  body: { name: "ts", owner: "globex", scopes: ["orders:read"], networks: ["10.0.0.0/8"], expires_at: new Date(Date.now() + 86_400_000).toISOString(), limits: [{ name: "minute", n: 60, window: 60 }] },
}));
const id = issued.key.id, path = { id };
if (!issued.token.includes(id)) throw new Error("create: the token is another key's");
const got = await client.GET("/v1/keys/{id}", { params: { path } });
if (must("get", 200, got).limits[0].window !== 60) throw new Error("get: the limits are others");
const list = must("list", 200, await client.GET("/v1/keys", { params: { query: { owner: "globex", limit: 10 } } }));
if (list.keys.length !== 1 || list.keys[0].id !== id) throw new Error("list: other keys");
const header = { "If-Match": got.response.headers.get("ETag") ?? "" };
must("update", 200, await client.PATCH("/v1/keys/{id}", { params: { path, header }, body: { name: "renamed", expires_at: null } }));
must("update of an older revision", 412, await client.PATCH("/v1/keys/{id}", { params: { path, header }, body: { name: "again" } }));
must("rotate", 200, await client.POST("/v1/keys/{id}/rotate", { params: { path }, body: { grace: 3600 } }));
must("finish", 200, await client.POST("/v1/keys/{id}/finish-rotation", { params: { path }, body: { force: true } }));
must("disable", 200, await client.POST("/v1/keys/{id}/disable", { params: { path }, body: { reason: "maintenance" } }));
must("enable", 200, await client.POST("/v1/keys/{id}/enable", { params: { path } }));
must("usage", 200, await client.GET("/v1/keys/{id}/usage", { params: { path } }));
const audit = must("audit", 200, await client.GET("/v1/keys/{id}/audit", { params: { path } }));
if (audit.entries.length !== 6) throw new Error(`audit: ${audit.entries.length} entries, want 6`);
if (must("revoke", 200, await client.DELETE("/v1/keys/{id}", { params: { path } })).state !== "revoked") throw new Error("revoke: the key is not revoked");
console.log("ok");
