import { createPublicKey, verify } from "node:crypto";
import fc from "fast-check";
import { utils } from "ssh2";
import { expect, test } from "vitest";
import { deriveHostKey } from "./host-key.ts";

function parse(key: string): {
  type: string;
  getPublicSSH(): Buffer;
  getPublicPEM(): string;
  sign(data: Buffer): Buffer;
} {
  const parsed = utils.parseKey(key);
  if (parsed instanceof Error) throw parsed;
  return (Array.isArray(parsed) ? parsed[0] : parsed) as never;
}

test("the key is ed25519, in a format ssh2 reads, and signs", () => {
  const key = parse(deriveHostKey({ owner: "alice", workspace: "dev", agent: "main" }));
  expect(key.type).toBe("ssh-ed25519");
  const data = Buffer.from("exchange hash");
  expect(verify(null, data, createPublicKey(key.getPublicPEM()), key.sign(data))).toBe(true);
});

test("security 31: the same names give the same key, different names or another split of the same text give another", () => {
  const publicKey = (owner: string, workspace: string, agent: string): string =>
    parse(deriveHostKey({ owner, workspace, agent })).getPublicSSH().toString("hex");
  expect(publicKey("alice", "dev", "main")).toBe(publicKey("alice", "dev", "main"));
  const keys = [
    publicKey("alice", "dev", "main"),
    publicKey("ali", "cedev", "main"),
    publicKey("alice", "devm", "ain"),
  ];
  expect(new Set(keys).size).toBe(3);
});

test("any names and any long seed give a readable key", () => {
  const name = fc.string();
  fc.assert(
    fc.property(
      fc.oneof(fc.record({ owner: name, workspace: name, agent: name }), fc.uint8Array({ minLength: 32 })),
      (identity) => {
        expect(parse(deriveHostKey(identity)).type).toBe("ssh-ed25519");
      },
    ),
    { numRuns: 30 },
  );
});

test("a short seed is refused", () => {
  expect(() => deriveHostKey(new Uint8Array(31))).toThrow("at least 32 bytes");
});
