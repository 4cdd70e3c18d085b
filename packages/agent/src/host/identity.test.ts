import { createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { identityStatement } from "coder-protocol/agent-identity";
import { afterEach, beforeEach, expect, it } from "vitest";
import { AgentIdentity } from "./identity.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "identity-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

it("is made once, readable to its account alone, and stays", () => {
  const file = join(folder, "coder", "agent-identity");
  const first = AgentIdentity.open(file);
  expect(first.publicKey.length).toBe(32);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readdirSync(join(folder, "coder"))).toEqual(["agent-identity"]);
  expect(AgentIdentity.open(file).publicKey).toEqual(first.publicKey);
  expect(AgentIdentity.open(join(folder, "other")).publicKey).not.toEqual(first.publicKey);
});

it("signs the challenge together with the node key", () => {
  const identity = AgentIdentity.open(join(folder, "key"));
  const [challenge, nodeKey] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  const x = Buffer.from(identity.publicKey).toString("base64url");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  const signature = identity.sign(challenge, nodeKey);
  expect(verify(null, identityStatement(challenge, nodeKey), key, signature)).toBe(true);
  expect(verify(null, identityStatement(challenge, challenge), key, signature)).toBe(false);
});

it("a file that holds something else is refused, and left as it is", () => {
  const file = join(folder, "key");
  writeFileSync(file, "not a key");
  expect(() => AgentIdentity.open(file)).toThrow();
  const { privateKey } = generateKeyPairSync("x25519");
  writeFileSync(file, privateKey.export({ format: "pem", type: "pkcs8" }));
  expect(() => AgentIdentity.open(file)).toThrow("another kind of key");
});
