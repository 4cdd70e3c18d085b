import { createHash } from "node:crypto";

const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";
const LENGTH = 12;
const ALIAS = /^[a-z2-7]{12}$/;

/** A short name for an agent in host names: 60 bits of a hash of its id, in base32 (RFC 4648 §6). */
export function appAlias(agentId: string): string {
  const digest = createHash("sha256").update("app-alias").update(agentId.toLowerCase()).digest();
  let alias = "";
  for (let i = 0; i < LENGTH; i++) {
    const bit = i * 5;
    const pair = digest.readUInt16BE(bit >> 3);
    alias += ALPHABET.charAt((pair >> (11 - (bit & 7))) & 31);
  }
  return alias;
}

export function isAppAlias(text: string): boolean {
  return ALIAS.test(text);
}
