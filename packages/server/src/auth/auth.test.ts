import fc from "fast-check";
import { expect, test } from "vitest";
import { RateLimit } from "../base/rate-limit.ts";
import { AccessEvents, endsAccess, endsAgentSession } from "./access-events.ts";
import { Hosts, hostname } from "./hosts.ts";
import { Passwords } from "./passwords.ts";
import {
  deriveAgentToken,
  equalDigests,
  formatUserToken,
  hashSecret,
  isAgentToken,
  mintUserToken,
  parseUserToken,
} from "./tokens.ts";

test("a user's token has ten and 22 letters or digits and survives its text form", () => {
  for (let i = 0; i < 200; i++) {
    const token = mintUserToken();
    expect(parseUserToken(formatUserToken(token))).toEqual(token);
  }
  expect(new Set(Array.from({ length: 200 }, () => mintUserToken().secret)).size).toBe(200);
  fc.assert(
    fc.property(fc.string(), (text) => {
      const token = parseUserToken(text);
      expect(token === undefined || formatUserToken(token) === text).toBe(true);
    }),
  );
});

test("agent tokens are UUIDs that depend on key, agent and generation", () => {
  const key = new Uint8Array(32).fill(7);
  const token = deriveAgentToken(key, "agent", 1);
  expect(isAgentToken(token)).toBe(true);
  expect(deriveAgentToken(key, "agent", 1)).toBe(token);
  const others = [
    deriveAgentToken(key, "agent", 2),
    deriveAgentToken(key, "agent2", 1),
    deriveAgentToken(new Uint8Array(32).fill(8), "agent", 1),
    // The separator keeps id and generation apart.
    deriveAgentToken(key, "agent\u00001", 1),
  ];
  expect(new Set([token, ...others]).size).toBe(5);
});

test("security 3: digests are compared whole, and only equal ones match", () => {
  const digest = hashSecret("a");
  expect(equalDigests(digest, hashSecret("a"))).toBe(true);
  expect(equalDigests(digest, hashSecret("b"))).toBe(false);
  expect(equalDigests(digest, digest.slice(0, 10))).toBe(false);
  expect(equalDigests("", "")).toBe(false);
});

test("passwords are salted, carry their cost, and verify", async () => {
  const passwords = new Passwords({ logN: 8, r: 8, p: 1 });
  const [first, second] = await Promise.all([passwords.hash("secret"), passwords.hash("secret")]);
  expect(first).toMatch(/^scrypt\$8\$8\$1\$/);
  expect(first).not.toBe(second);
  expect(await passwords.verify("secret", first)).toBe(true);
  expect(await passwords.verify("Secret", first)).toBe(false);
  expect(await passwords.verify("secret", undefined)).toBe(false);
  expect(await passwords.verify("secret", "")).toBe(false);
  expect(await passwords.verify("secret", "plain")).toBe(false);
  // A hash stored at a lower cost than today's default still verifies.
  expect(await new Passwords({ logN: 9, r: 8, p: 1 }).verify("secret", first)).toBe(true);
});

test("a flood of logins is refused instead of piling up", async () => {
  const passwords = new Passwords({ logN: 8, r: 8, p: 1 });
  const results = await Promise.allSettled(Array.from({ length: 100 }, () => passwords.hash("x")));
  const refused = results.filter((result) => result.status === "rejected");
  expect(refused).toHaveLength(100 - 2 - 64);
  expect(await passwords.verify("x", await passwords.hash("x"))).toBe(true);
});

test("a bucket refills with time and the table is bounded", () => {
  const limit = new RateLimit({ capacity: 3, periodMs: 3_000, maxKeys: 100 });
  expect([1, 2, 3].map(() => limit.take("a", 0))).toEqual([0, 0, 0]);
  expect(limit.take("a", 0)).toBe(1_000);
  expect(limit.take("b", 0)).toBe(0);
  expect(limit.take("a", 1_000)).toBe(0);
  expect(limit.take("a", 500)).toBeGreaterThan(0);
  for (let i = 0; i < 10_000; i++) limit.take(`key${i}`, 2_000);
  expect(limit.size).toBe(100);
});

test("hosts are accepted by name, by the address dialled, and by pattern", () => {
  const hosts = new Hosts(() => new URL("https://coder.example.com:8443"), ["[fd00::1]", "*.corp.example", "10.1.2.3"]);
  const ours = (host: string | undefined, local: string) => hosts.isOurHost(host, local);
  expect(ours("coder.example.com", "10.0.0.1")).toBe(true);
  expect(ours("192.168.1.5:3000", "::ffff:192.168.1.5")).toBe(true);
  expect(ours("192.168.1.5:3000", "192.168.1.6")).toBe(false);
  expect(ours("[fe80::1]:3000", "fe80::1")).toBe(true);
  expect(ours("[fd00::1]", "fd00::9")).toBe(true);
  expect(ours("10.1.2.3", "172.17.0.2")).toBe(true);
  expect(ours("localhost:3000", "127.0.0.1")).toBe(true);
  expect(ours("localhost:3000", "10.0.0.1")).toBe(false);
  expect(ours("x.corp.example", "10.0.0.1")).toBe(true);
  expect(ours("xcorp.example", "10.0.0.1")).toBe(false);
  for (const host of [undefined, "", "a b", "coder.example.com/", "coder.example.com@evil", "evil#coder.example.com"]) {
    expect(ours(host, "127.0.0.1")).toBe(false);
  }
});

test("access events reach every listener, and name what they end", () => {
  const events = new AccessEvents();
  const seen: string[] = [];
  const leave = events.subscribe(() => {
    throw new Error("a listener's bug");
  });
  events.subscribe((event) => seen.push(event.kind));
  expect(() => events.publish({ kind: "user-gone", userId: "u" })).toThrow(AggregateError);
  leave();
  events.publish({ kind: "user-gone", userId: "u" });
  expect(seen).toEqual(["user-gone", "user-gone"]);

  const holder = { userId: "u", keyId: "k", workspaceId: "w", agentId: "a" };
  expect(endsAccess({ kind: "key-revoked", keyId: "k", userId: "u" }, holder)).toBe(true);
  expect(endsAccess({ kind: "key-revoked", keyId: "k2", userId: "u" }, holder)).toBe(false);
  expect(endsAccess({ kind: "user-gone", userId: "u" }, holder)).toBe(true);
  expect(endsAccess({ kind: "workspace-deleted", workspaceId: "w2", agentIds: ["a"] }, holder)).toBe(true);
  expect(endsAccess({ kind: "workspace-stopped", workspaceId: "w", agentIds: ["a"] }, holder)).toBe(false);
  const agent = { agentId: "a", ownerId: "u" };
  expect(endsAgentSession({ kind: "workspace-stopped", workspaceId: "w", agentIds: ["a"] }, agent)).toBe(true);
  expect(endsAgentSession({ kind: "agent-token-rotated", agentId: "a" }, agent)).toBe(true);
  expect(endsAgentSession({ kind: "agent-token-rotated", agentId: "b" }, agent)).toBe(false);
  expect(endsAgentSession({ kind: "user-gone", userId: "u" }, agent)).toBe(true);
  expect(endsAgentSession({ kind: "user-gone", userId: "v" }, agent)).toBe(false);
  expect(endsAgentSession({ kind: "role-changed", userId: "u" }, agent)).toBe(false);
});

test.each([
  ["Example.com", "example.com"],
  ["example.com.:8443", "example.com"],
  ["[::1]:3000", "[::1]"],
  ["example.com:65535", "example.com"],
  ["example.com:65536", undefined],
  ["example.com:99999", undefined],
  ["example.com..", undefined],
  ["exa mple.com", undefined],
])("the name in the host %s is %s", (host, name) => expect(hostname(host)).toBe(name));
