import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { type ResumeHolder, ResumeTokens } from "./resume-token.ts";

const HOUR = 3_600_000;
const KEY = new Uint8Array(32).fill(7);
const PEER = "00000000-0000-4000-8000-000000000001";

const HOLDER: ResumeHolder = { kind: "client", userId: "ada", keyId: "login-1", agentId: "agent-1" };

describe("ResumeTokens", () => {
  it("brings a peer back for 24 hours, and asks to be refreshed after half", () => {
    const tokens = new ResumeTokens(KEY);
    const issued = tokens.issue(PEER, HOLDER, 0);
    expect(issued.refreshInMs).toBe(12 * HOUR);
    expect(tokens.verify(issued.token, HOLDER, 24 * HOUR - 1_000)).toBe(PEER);
    expect(tokens.verify(issued.token, HOLDER, 24 * HOUR)).toBeUndefined();
  });

  it("refuses tokens of another deployment, changed ones and other algorithms", () => {
    const tokens = new ResumeTokens(KEY);
    const { token } = tokens.issue(PEER, HOLDER, 0);
    const [head, body, signature] = token.split(".") as [string, string, string];
    const other = Buffer.from(JSON.stringify({ sub: "somebody", exp: 1e12 })).toString("base64url");
    const none = Buffer.from(JSON.stringify({ alg: "none", kid: "x" })).toString("base64url");
    expect(new ResumeTokens(new Uint8Array(32)).verify(token, HOLDER, 0)).toBeUndefined();
    expect(tokens.verify(`${head}.${other}.${signature}`, HOLDER, 0)).toBeUndefined();
    expect(tokens.verify(`${none}.${body}.`, HOLDER, 0)).toBeUndefined();
    for (const junk of ["", "a", "a.b", "a.b.c", "..", "x".repeat(5_000)])
      expect(tokens.verify(junk, HOLDER, 0)).toBeUndefined();
  });

  it.each<[string, Partial<ResumeHolder>]>([
    ["another user", { userId: "bob" }],
    ["another login of the same user", { keyId: "login-2" }],
    ["an agent", { kind: "agent" }],
    ["the route of another agent", { agentId: "agent-2" }],
  ])("refuses a token from %s", (_who, difference) => {
    const tokens = new ResumeTokens(KEY);
    const { token } = tokens.issue(PEER, HOLDER, 0);
    expect(tokens.verify(token, HOLDER, 0)).toBe(PEER);
    expect(tokens.verify(token, { ...HOLDER, ...difference }, 0)).toBeUndefined();
    const { agentId: _, ...anyAgent } = HOLDER;
    expect(tokens.verify(token, anyAgent, 0)).toBeUndefined();
    expect(tokens.verify(tokens.issue(PEER, { ...HOLDER, ...difference }, 0).token, HOLDER, 0)).toBeUndefined();
  });

  it("reveals nothing about its holder", () => {
    const { token } = new ResumeTokens(KEY).issue(PEER, HOLDER, 0);
    const text = Buffer.from(token.split(".")[1]!, "base64url").toString();
    for (const word of ["ada", "login-1", "agent-1"]) expect(text).not.toContain(word);
  });

  it("ignores a token without a key id, as a stock server does", () => {
    const head = Buffer.from(JSON.stringify({ alg: "HS256" })).toString("base64url");
    const signature = createHmac("sha256", "x").update(`${head}.e30`).digest("base64url");
    expect(new ResumeTokens(KEY).verify(`${head}.e30.${signature}`, HOLDER, 0)).toBe("ignored");
  });
});
