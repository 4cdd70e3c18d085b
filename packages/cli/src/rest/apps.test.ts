import type { Deployment } from "coder-client/rest/deployment";
import { expect, test } from "vitest";
import { type AppPlace, type PortShareRequest, sharePort } from "./apps.ts";

const place = { workspace: { id: "w", name: "dev", agents: [{ id: "a", name: "main" }] } } as unknown as AppPlace;

/** The request body that changes a share, as parsed JSON. */
async function sent(wish: Partial<PortShareRequest>): Promise<Readonly<Record<string, unknown>>> {
  let body: unknown;
  const deployment = {
    call: async (_path: string, options: { readonly body?: unknown }) => {
      body = options.body;
      return { expires_at: null };
    },
  } as unknown as Deployment;
  const whole = { port: 3000, level: "public", secure: false, label: undefined, forMs: undefined, ...wish };
  await sharePort(deployment, place, whole, new AbortController().signal);
  return JSON.parse(JSON.stringify(body)) as Readonly<Record<string, unknown>>;
}

test("a share is sent without the label and the end that are not given", async () => {
  const share = { agent_name: "main", port: 3000, share_level: "public", protocol: "http" };
  expect(await sent({})).toStrictEqual(share);
  expect(await sent({ label: "" })).toStrictEqual({ ...share, label: "" });
  expect(await sent({ forMs: 60_000 })).toStrictEqual({ ...share, expires_at: expect.any(String) });
});
