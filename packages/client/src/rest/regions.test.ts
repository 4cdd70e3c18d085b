import { expect, it } from "vitest";
import { ClientError } from "../base/client-error.ts";
import type { RestApi } from "./api.ts";
import { fetchProxies, isProxy } from "./regions.ts";

const near = { name: "near", display_name: "Near you", healthy: true };
const answering = (answer: unknown): RestApi => ({ call: async () => answer }) as unknown as RestApi;
const failing = (error: Error): RestApi => ({ call: () => Promise.reject(error) }) as unknown as RestApi;

it("reads the proxies, without the deployment itself and what has no name", async () => {
  const regions = [{ name: "primary", healthy: true }, near, { name: "old" }, { name: 7 }, null, "text"];
  expect(await fetchProxies(answering({ regions }))).toEqual([
    { name: "near", displayName: "Near you", healthy: true },
    { name: "old", displayName: "", healthy: false },
  ]);
});

it("has none where the deployment does not know the route, and refuses what is no list", async () => {
  expect(await fetchProxies(failing(new ClientError("ERR_NOT_FOUND", "no route", { status: 404 })))).toEqual([]);
  const refused = new ClientError("ERR_UNAUTHORIZED", "no");
  await expect(fetchProxies(failing(refused))).rejects.toBe(refused);
  for (const answer of [undefined, null, {}, { regions: 1 }, "text"])
    await expect(fetchProxies(answering(answer))).rejects.toMatchObject({ code: "ERR_NOT_A_CODER_SERVER" });
});

it("knows a proxy by its name, its display name and the code of its region", async () => {
  const { signal } = new AbortController();
  const found = ["NEAR", "near you", "coder_near", "far", "primary", ""].map((text) =>
    isProxy(answering({ regions: [near] }), text, signal),
  );
  expect(await Promise.all(found)).toEqual([true, true, true, false, false, false]);
});
