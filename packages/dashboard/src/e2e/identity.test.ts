import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { identityStatement } from "coder-protocol/agent-identity";
import { expect, it, vi } from "vitest";
import { farEndOf, hex } from "./identity.ts";
import { FakeWorkspace } from "./testing.ts";

const NODE_KEY = new Uint8Array(32).fill(7);

interface Proof {
  readonly public_key: string;
  readonly node_key: string;
  readonly signature: string;
}

/** A workspace with an identity, whose proofs `change` may spoil. */
function withIdentity(change: (proof: Proof, challenge: Uint8Array, key: KeyObject) => unknown = (proof) => proof) {
  const workspace = new FakeWorkspace();
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const publicHex = Buffer.from(publicKey.export({ format: "jwk" }).x!, "base64url").toString("hex");
  workspace.identity = async (challenge) => {
    const signature = sign(null, identityStatement(challenge, NODE_KEY), privateKey).toString("hex");
    return Response.json(change({ public_key: publicHex, node_key: hex(NODE_KEY), signature }, challenge, privateKey));
  };
  return { workspace, publicHex };
}

it("an identity that is proven for the key of this tunnel counts; without one the key does", async () => {
  const { workspace, publicHex } = withIdentity();
  expect(await farEndOf(workspace, NODE_KEY)).toEqual({ kind: "identity", key: publicHex });
  expect(await farEndOf(new FakeWorkspace(), NODE_KEY)).toEqual({ kind: "key", key: hex(NODE_KEY) });
});

it("a browser that cannot verify identities goes by the key, whatever the other end has", async () => {
  const refused = vi.spyOn(crypto.subtle, "importKey").mockRejectedValue(new DOMException("no", "NotSupportedError"));
  try {
    expect(await farEndOf(withIdentity().workspace, NODE_KEY)).toEqual({ kind: "key", key: hex(NODE_KEY) });
  } finally {
    refused.mockRestore();
  }
});

it("security S27: a proof that was made for another tunnel, another challenge or by another key is refused", async () => {
  const other = new Uint8Array(32).fill(8);
  const relayed = withIdentity((proof, challenge, key) => ({
    ...proof,
    node_key: hex(other),
    signature: sign(null, identityStatement(challenge, other), key).toString("hex"),
  }));
  await expect(farEndOf(relayed.workspace, NODE_KEY)).rejects.toThrow("it passes questions on");
  // The node key that is stated is this tunnel's, and the one that was signed is not.
  const stated = withIdentity((proof, challenge, key) => ({
    ...proof,
    signature: sign(null, identityStatement(challenge, other), key).toString("hex"),
  }));
  await expect(farEndOf(stated.workspace, NODE_KEY)).rejects.toThrow("not valid");
  const replayed = withIdentity((proof, _challenge, key) => ({
    ...proof,
    signature: sign(null, identityStatement(other, NODE_KEY), key).toString("hex"),
  }));
  await expect(farEndOf(replayed.workspace, NODE_KEY)).rejects.toThrow("not valid");
  const foreign = withIdentity((proof) => ({ ...proof, public_key: withIdentity().publicHex }));
  await expect(farEndOf(foreign.workspace, NODE_KEY)).rejects.toThrow("not valid");
});

it("an answer that is no proof is refused, and is not taken for an agent without an identity", async () => {
  for (const wrong of [null, {}, { public_key: "ab" }, { public_key: "zz".repeat(32), signature: "00".repeat(64) }]) {
    await expect(farEndOf(withIdentity(() => wrong).workspace, NODE_KEY)).rejects.toThrow("malformed");
  }
  const failing = new FakeWorkspace();
  failing.identity = async () => new Response(null, { status: 500 });
  await expect(farEndOf(failing, NODE_KEY)).rejects.toThrow("answered 500");
});
