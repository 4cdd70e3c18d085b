import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  type AppTokenFacts,
  type AppTokenKey,
  MAX_APP_TOKEN_LENGTH,
  proxyAudience,
  signAppToken,
  verifyAppToken,
} from "./app-token.ts";

const ID = "3c0ffee0-0000-4000-8000-000000000001";
const NOW = Date.UTC(2026, 10, 30, 12);
const key: AppTokenKey = { secret: "ab".repeat(32), sequence: 7, deletesAt: NOW + 3_600_000 };
const parties = { issuer: ID, audience: proxyAudience(ID), now: NOW };
const named = { id: ID, name: "main" };
const facts: AppTokenFacts = {
  jti: "one",
  access_method: "subdomain",
  base_path: "/",
  app_prefix: "",
  username_or_id: "ada",
  workspace_name_or_id: "demo",
  agent_name_or_id: "main",
  app_slug_or_port: "8080",
  user_id: ID,
  workspace_id: ID,
  agent_id: ID,
  app_url: "http://127.0.0.1:8080",
  grant: {
    visitor: { id: ID, role: "member", username: "ada", email: "ada@example.com" },
    owner: { id: ID, username: "ada" },
    workspace: named,
    agent: named,
    state: "running",
    ends_at: NOW + 1_000,
  },
};
const token = signAppToken(facts, key, parties);
const [head = "", body = "", signature = ""] = token.split(".");

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const decode = (part: string) => JSON.parse(Buffer.from(part, "base64url").toString());
/** A token with a valid signature over arbitrary parts. */
function signed(header: unknown, claims: unknown): string {
  const text = `${encode(header)}.${encode(claims)}`;
  return `${text}.${createHmac("sha256", Buffer.from(key.secret, "hex")).update(text).digest("base64url")}`;
}

test("what was signed is what a proxy reads", () => {
  const found = verifyAppToken(token, [{ ...key, sequence: 6, secret: "cd".repeat(32) }, key], parties);
  expect(found).toMatchObject({ claims: { ...facts, iss: ID, aud: `proxy:${ID}` } });
  const { iat, nbf, exp } = decode(body);
  expect({ nbf: nbf - iat, exp: exp - iat }).toEqual({ nbf: -60, exp: 60 });
});

describe("refused", () => {
  test.each([
    ["another audience", { audience: proxyAudience("3c0ffee0-0000-4000-8000-000000000002") }, "audience"],
    ["another issuer", { issuer: "3c0ffee0-0000-4000-8000-000000000002" }, "issuer"],
    ["after a minute", { now: NOW + 60_000 }, "expired"],
    ["more than a minute before it was made", { now: NOW - 61_000 }, "not-yet-valid"],
  ])("%s", (_name, change, refused) => {
    expect(verifyAppToken(token, [key], { ...parties, ...change })).toEqual({ refused });
  });

  test("a key that is unknown, has another number or is past its time", () => {
    const refused = { refused: "unknown-key" };
    expect(verifyAppToken(token, [], parties)).toEqual(refused);
    expect(verifyAppToken(token, [{ ...key, sequence: 8 }], parties)).toEqual(refused);
    expect(verifyAppToken(token, [{ ...key, deletesAt: NOW }], parties)).toEqual(refused);
  });

  test("another secret", () => {
    expect(verifyAppToken(token, [{ ...key, secret: "cd".repeat(32) }], parties)).toEqual({ refused: "signature" });
  });

  test.each([
    ["no algorithm", { alg: "none", typ: "JWT", kid: "7" }],
    ["another algorithm", { alg: "HS512", typ: "JWT", kid: "7" }],
    ["the algorithm in lower case", { alg: "hs256", typ: "JWT", kid: "7" }],
    ["no key", { alg: "HS256", typ: "JWT" }],
    ["a key id that is not a number", { alg: "HS256", typ: "JWT", kid: "../7" }],
    ["extensions (RFC 7515 §4.1.11)", { alg: "HS256", typ: "JWT", kid: "7", crit: ["b64"] }],
    ["an embedded key", { alg: "HS256", typ: "JWT", kid: "7", jwk: {} }],
  ])("a header with %s", (_name, header) => {
    expect(verifyAppToken(signed(header, decode(body)), [key], parties)).toEqual({ refused: "malformed" });
  });

  test("no algorithm and no signature", () => {
    const none = `${encode({ alg: "none", typ: "JWT", kid: "7" })}.${body}.`;
    expect(verifyAppToken(none, [key], parties)).toEqual({ refused: "malformed" });
  });

  test("claims of another form under a right signature", () => {
    const header = decode(head);
    for (const change of [{ exp: "soon" }, { grant: {} }, { access_method: "root" }, { workspace_id: "" }])
      expect(verifyAppToken(signed(header, { ...decode(body), ...change }), [key], parties)).toEqual({
        refused: "claims",
      });
  });

  test("one changed character, at every place", () => {
    for (let at = 0; at < token.length; at++) {
      const changed = `${token.slice(0, at)}${token[at] === "A" ? "B" : "A"}${token.slice(at + 1)}`;
      expect(verifyAppToken(changed, [key], parties)).toHaveProperty("refused");
    }
  });

  test("another encoding of the same signature", () => {
    const last = signature.at(-1) ?? "";
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const twin = `${token.slice(0, -1)}${alphabet[alphabet.indexOf(last) ^ 1]}`;
    expect(Buffer.from(twin.split(".")[2] ?? "", "base64url")).toEqual(Buffer.from(signature, "base64url"));
    expect(verifyAppToken(twin, [key], parties)).toEqual({ refused: "signature" });
    expect(verifyAppToken(`${token}=`, [key], parties)).toEqual({ refused: "signature" });
  });

  test("too many parts, too few, and trailing dots", () => {
    for (const text of ["", ".", "..", `${head}.${body}`, `${token}.`, `${token}..`, `.${token}`, `${token}.${token}`])
      expect(verifyAppToken(text, [key], parties), text).toEqual({ refused: "malformed" });
  });

  test("a token over the limit, even with a valid signature", () => {
    const long = signAppToken({ ...facts, jti: "x".repeat(MAX_APP_TOKEN_LENGTH) }, key, parties);
    expect(verifyAppToken(long, [key], parties)).toEqual({ refused: "malformed" });
  });
});

test("an app with the longest address, the most origins and the longest names has a token", () => {
  const long = "x".repeat(2_048);
  const target = {
    workspace_id: ID,
    owner_id: ID,
    agent_id: ID,
    port: 8080,
    secure: true,
    base_path: long,
    query: "",
    level: "authenticated",
    host_header: "preserve",
    cors: "passthru",
    cors_origins: Array.from({ length: 16 }, () => "o".repeat(256)),
    also: Array.from({ length: 8 }, () => "a".repeat(32)),
    identity_headers: true,
    share_ends_at: NOW,
  } as const;
  const text = signAppToken({ ...facts, app_url: long, grant: { ...facts.grant, target } }, key, parties);
  expect(verifyAppToken(text, [key], parties)).toHaveProperty("claims");
});
