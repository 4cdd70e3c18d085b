/**
 * Who is at the other end of a tunnel. An agent with a lasting identity proves that it is behind the tunnel's key; of other
 * agents only that key is known, which changes at each of their starts.
 */

import type { BrowserWorkspace } from "coder-client/browser";
import { CHALLENGE_BYTES, IDENTITY_PATH, type IdentityAnswer, identityStatement } from "coder-protocol/agent-identity";
import { HTTP_API_PORT } from "coder-protocol/tunnel-ports";
import type { FarEnd } from "./messages.ts";

const ANSWER_MS = 5_000;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;

/** Finds out who holds the key of the tunnel. Rejects if an identity is claimed but not proven. */
export async function farEndOf(workspace: Pick<BrowserWorkspace, "fetch">, nodeKey: Uint8Array): Promise<FarEnd> {
  // Browsers verify on pages that came over https or from this machine; elsewhere the tunnel's key is all there is.
  const subtle: SubtleCrypto | undefined = globalThis.crypto.subtle;
  if (subtle === undefined || !(await verifies(subtle))) return { kind: "key", key: hex(nodeKey) };
  const challenge = crypto.getRandomValues(new Uint8Array(CHALLENGE_BYTES));
  const signal = AbortSignal.timeout(ANSWER_MS);
  const answer = await workspace.fetch(HTTP_API_PORT, `${IDENTITY_PATH}?challenge=${hex(challenge)}`, { signal });
  if (answer.status === 404) return { kind: "key", key: hex(nodeKey) };
  if (!answer.ok) throw new Error(`the agent answered ${answer.status} when it was asked for its identity`);
  const claimed = (await answer.json()) as Partial<IdentityAnswer> | null;
  const publicKey = bytes(claimed?.public_key, KEY_BYTES);
  const signature = bytes(claimed?.signature, SIGNATURE_BYTES);
  if (claimed?.node_key !== hex(nodeKey))
    throw new Error("what answers at the other end proves another tunnel than this one: it passes questions on");
  const key = await subtle.importKey("raw", publicKey, "Ed25519", false, ["verify"]);
  if (!(await subtle.verify("Ed25519", key, signature, Uint8Array.from(identityStatement(challenge, nodeKey)))))
    throw new Error("the workspace's proof of its identity is not valid");
  return { kind: "identity", key: hex(publicKey) };
}

/** The public key of RFC 8032 §7.1, test 1. */
const ANY_KEY = bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", KEY_BYTES);

/** Chromium has Ed25519 since version 137. The answer does not depend on what the other end says. */
async function verifies(subtle: SubtleCrypto): Promise<boolean> {
  try {
    await subtle.importKey("raw", ANY_KEY, "Ed25519", false, ["verify"]);
    return true;
  } catch {
    return false;
  }
}

function bytes(text: unknown, length: number): Uint8Array<ArrayBuffer> {
  if (typeof text !== "string" || text.length !== 2 * length || !/^[0-9a-f]*$/.test(text))
    throw new Error("the workspace's proof of its identity is malformed");
  return Uint8Array.from({ length }, (_, index) => Number.parseInt(text.slice(2 * index, 2 * index + 2), 16));
}

export function hex(value: Uint8Array): string {
  return Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
