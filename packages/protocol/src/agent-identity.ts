/**
 * How an agent proves inside a tunnel that it is the machine it was before: a lasting key (Ed25519, RFC 8032) signs a challenge
 * together with the node key of the tunnel. Ours; stock agents have none. Pure.
 */

/**
 * A path of the agent's HTTP API inside the tunnel, with the challenge in hexadecimal as its query. 404 if the agent has no
 * identity.
 */
export const IDENTITY_PATH = "/api/v0/identity";
export const CHALLENGE_BYTES = 32;

/** The answer; every value is in hexadecimal. */
export interface IdentityAnswer {
  readonly public_key: string;
  /** The public key of the agent's end of the tunnel. */
  readonly node_key: string;
  readonly signature: string;
}

/**
 * What the identity signs. It contains the node key, because a machine that passes the challenge on to the real agent has
 * another one.
 */
export function identityStatement(challenge: Uint8Array, nodeKey: Uint8Array): Uint8Array {
  const purpose = Array.from("coder agent identity, version 1\0", (character) => character.charCodeAt(0));
  return Uint8Array.from([...purpose, ...challenge, ...nodeKey]);
}

const GROUPS = 6;
const GROUP_BYTES = 5;

/** Thirty digits by which people compare keys. They stand for a hundred bits, too many to find another key with the same digits. */
export function safetyNumber(publicKey: Uint8Array): string {
  const groups = Array.from({ length: GROUPS }, (_, group) => {
    const bytes = publicKey.subarray(group * GROUP_BYTES, (group + 1) * GROUP_BYTES);
    const number = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
    return String(number % 100_000).padStart(GROUP_BYTES, "0");
  });
  return groups.join(" ");
}
