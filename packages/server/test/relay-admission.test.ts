/** Which clients external relays may serve: relays ask with a credential that grants nothing else. */
import { relayAdmission } from "coder-protocol/rest/deployment";
import { expect, test } from "vitest";
import { hexEncode } from "wg-userspace/base/bytes";
import { KeyWaits } from "../src/control/key-waits.ts";
import { addMember, firstUser, send, startServer } from "./helpers.ts";
import { nodeOf, TestPeer } from "./peers.ts";

const api = "/api/v2";
/** The key that `nodeOf` gives to a node. */
const keyName = (fill: number) => `nodekey:${hexEncode(new Uint8Array(32).fill(fill))}`;

async function deployment() {
  const test = await startServer({
    flags: { "stun-address": "disable", "derp-server-stun-addresses": "disable" },
  });
  const owner = await firstUser(test.url);
  const { url } = relayAdmission.parse(
    (await send(test.url, "GET", `${api}/deployment/relay-admission`, { token: owner.token })).json,
  );
  const { username, password, pathname } = new URL(url);
  const credentials = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
  const ask = (body: unknown, authorization = credentials) =>
    send(test.url, "POST", pathname, { body, headers: { Authorization: authorization } });
  return { ...test, owner, ask, credentials, password };
}

test("a key that a peer announced is allowed, even if it is announced a moment later; an unknown one is not", async () => {
  await using at = await deployment();
  const early = at.ask({ NodePublic: keyName(9), Source: "203.0.113.7" });
  await using client = await TestPeer.open(at.url, at.owner.token, `${api}/tailnet`);
  client.send({ updateSelf: { node: nodeOf({ id: 5n, fill: 9, addresses: ["fd7a:115c:a1e0:1::5"] }) } });
  expect((await early).json).toEqual({ Allow: true });
  expect((await at.ask({ NodePublic: keyName(9) })).json).toEqual({ Allow: true });
  const probe = at.server.parts.probeKeys.lend();
  expect((await at.ask({ NodePublic: `nodekey:${hexEncode(probe.publicKey)}` })).json).toEqual({ Allow: true });
  probe.giveBack();
  expect((await at.ask({ NodePublic: keyName(8) })).json).toEqual({ Allow: false });
});

test("the credential is shown to owners only, is required, grants nothing else and is in no log", async () => {
  await using at = await deployment();
  const bob = await addMember(at.url, at.owner.token, "bob");
  expect((await send(at.url, "GET", `${api}/deployment/relay-admission`, { token: bob.token })).status).toBe(403);
  for (const wrong of ["", "Basic cmVsYXk6", `Bearer ${at.owner.token}`, `${at.credentials}x`]) {
    const answer = await at.ask({ NodePublic: keyName(9) }, wrong);
    expect(answer.status).toBe(401);
    expect(answer.text).not.toContain("Allow");
  }
  for (const header of [{ Authorization: at.credentials }, { "Coder-Session-Token": at.password }]) {
    expect((await send(at.url, "GET", `${api}/users/me`, { headers: header as Record<string, string> })).status).toBe(
      401,
    );
  }
  expect(at.log.text).not.toContain(at.password);
});

test.each([{}, { NodePublic: "nodekey:12" }, { NodePublic: `discokey:${"0".repeat(64)}` }, []])(
  "%j is no question",
  async (body) => {
    await using at = await deployment();
    expect((await at.ask(body)).status).toBe(400);
  },
);

test("waits for keys are bounded and end with the server", async () => {
  const waits = new KeyWaits();
  const key = new Uint8Array(32);
  const waiting = Array.from({ length: 1_000 }, () => waits.wait(key, 60_000));
  expect(await waits.wait(key, 60_000)).toBe(false);
  waits.came(key);
  expect(new Set(await Promise.all(waiting))).toEqual(new Set([true]));
  expect(await waits.wait(key, 1)).toBe(false);
  const left = waits.wait(key, 60_000);
  waits.close();
  expect(await left).toBe(false);
});
