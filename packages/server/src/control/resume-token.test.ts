import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ResumeTokens } from "./resume-token.ts";

const HOUR = 3_600_000;
const KEY = new Uint8Array(32).fill(7);
const PEER = "00000000-0000-4000-8000-000000000001";

describe("ResumeTokens", () => {
  it("brings a peer back for 24 hours, and asks to be refreshed after half", () => {
    const tokens = new ResumeTokens(KEY);
    const issued = tokens.issue(PEER, 0);
    expect(issued.refreshInMs).toBe(12 * HOUR);
    expect(tokens.verify(issued.token, 24 * HOUR - 1_000)).toBe(PEER);
    expect(tokens.verify(issued.token, 24 * HOUR)).toBeUndefined();
  });

  it("refuses tokens of another deployment, changed ones and other algorithms", () => {
    const tokens = new ResumeTokens(KEY);
    const { token } = tokens.issue(PEER, 0);
    const [head, body, signature] = token.split(".") as [string, string, string];
    const other = Buffer.from(JSON.stringify({ sub: "somebody", exp: 1e12 })).toString("base64url");
    const none = Buffer.from(JSON.stringify({ alg: "none", kid: "x" })).toString("base64url");
    expect(new ResumeTokens(new Uint8Array(32)).verify(token, 0)).toBeUndefined();
    expect(tokens.verify(`${head}.${other}.${signature}`, 0)).toBeUndefined();
    expect(tokens.verify(`${none}.${body}.`, 0)).toBeUndefined();
    for (const junk of ["", "a", "a.b", "a.b.c", "..", "x".repeat(5_000)])
      expect(tokens.verify(junk, 0)).toBeUndefined();
  });

  it("ignores a token without a key id, as a stock server does", () => {
    const head = Buffer.from(JSON.stringify({ alg: "HS256" })).toString("base64url");
    const signature = createHmac("sha256", "x").update(`${head}.e30`).digest("base64url");
    expect(new ResumeTokens(KEY).verify(`${head}.e30.${signature}`, 0)).toBe("ignored");
  });
});
