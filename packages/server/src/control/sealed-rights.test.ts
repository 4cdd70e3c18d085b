import { expect, test } from "vitest";
import { parseReason, reasonText } from "./cluster/rows.ts";
import { SealedRights, type TunnelRight } from "./sealed-rights.ts";

const ID = "6b0f8f4e-1c7a-4d6e-9a31-2f1b7a0c5d11";
const OTHER = "6b0f8f4e-1c7a-4d6e-9a31-2f1b7a0c5d12";
const user: TunnelRight = { kind: "user", userId: OTHER, keyId: "abcdefghij", agentId: ID, forPages: false };
const rights: TunnelRight[] = [
  user,
  { ...user, agentId: undefined, forPages: true },
  { kind: "server", agentId: ID },
  { kind: "proxy", proxyId: ID, generation: 2 ** 40 },
];

test("a sealed right is opened by every server of the deployment, for its own peer", () => {
  const [server, sibling] = [new SealedRights(new Uint8Array(32)), new SealedRights(new Uint8Array(32))];
  for (const right of rights) {
    const sealed = server.seal(ID, right);
    expect(sibling.open(ID, sealed)).toEqual(right);
    expect(sibling.open(OTHER, sealed)).toBeUndefined();
    expect(new SealedRights(new Uint8Array(32).fill(1)).open(ID, sealed)).toBeUndefined();
  }
});

test("a changed, shortened or invented right is not accepted, and a sealed one reveals nothing", () => {
  const server = new SealedRights(new Uint8Array(32));
  const sealed = server.seal(ID, user);
  for (let index = 0; index < sealed.length; index++) {
    const changed = Uint8Array.from(sealed);
    changed[index]! ^= 1;
    expect(server.open(ID, changed)).toBeUndefined();
    expect(server.open(ID, sealed.subarray(0, index))).toBeUndefined();
  }
  expect(Buffer.from(sealed).toString("latin1")).not.toContain("abcdefghij");
});

test("the longest right fits into the row of a peer, together with a session", () => {
  const right = new SealedRights(new Uint8Array(32)).seal(ID, user);
  const sessionId = "0123456789abcdef0123456789abcdef";
  for (const facts of [
    { sessionId, right },
    { sessionId: undefined, right },
    { sessionId, right: undefined },
  ]) {
    const text = reasonText(facts);
    expect(text.length).toBeLessThanOrEqual(256);
    const read = parseReason(text);
    expect(read.sessionId).toBe(facts.sessionId);
    expect(read.right === undefined ? undefined : Buffer.from(read.right)).toEqual(
      facts.right === undefined ? undefined : Buffer.from(facts.right),
    );
  }
});
