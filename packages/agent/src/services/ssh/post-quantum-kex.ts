/**
 * The hybrid key exchange `mlkem768x25519-sha256` (draft-ietf-sshm-mlkem-hybrid-kex) for the server side of ssh2, which lacks it.
 * With it a future quantum computer cannot decrypt recorded traffic, and OpenSSH 10.1 and later do not warn about the connection.
 * ssh2 negotiates one of its own exchanges; the methods in which the two differ are replaced.
 */
import * as crypto from "node:crypto";
import { copyBytes } from "wg-userspace/base/bytes";

export const HYBRID_KEX = "mlkem768x25519-sha256";

/** Node has ML-KEM since 24.7. */
export const hybridKexSupported: boolean = typeof crypto.encapsulate === "function";

/** FIPS 203, ML-KEM-768. */
const ENCAPSULATION_KEY_BYTES = 1184;
const X25519_BYTES = 32;
/** DER headers of the raw keys (RFC 9935, RFC 8410). */
const ML_KEM_SPKI = Buffer.from("308204b2300b0609608648016503040402038204a100", "hex");
const X25519_SPKI = Buffer.from("302a300506032b656e032100", "hex");
/** SSH_MSG_KEXINIT: 1 byte message number, 16 bytes cookie, ten name lists, a boolean, 4 zero bytes. */
const FIRST_LIST_OFFSET = 17;
const NAME_LISTS = 10;

/** The members of ssh2's exchanges that are replaced here. */
interface KeyExchange {
  type: string;
  hashName: string;
  readonly _remoteKexinit: Buffer;
  generateKeys(): void;
  getPublicKey(): Buffer;
  convertPublicKey(key: Buffer): Buffer;
  /** The shared secret as it enters the exchange hash, after its length, or an error. */
  computeSecret(key: Buffer): Buffer | Error;
}

interface HybridProtocol {
  _kex: KeyExchange | undefined;
  _skipNextInboundPacket: boolean;
}

/**
 * Makes the protocol use the hybrid exchange with every client that prefers it, in the first and in later exchanges.
 */
export function useHybridKex(protocol: unknown): void {
  const host = protocol as HybridProtocol;
  let current = host._kex;
  Object.defineProperty(protocol, "_kex", {
    configurable: true,
    get: () => current,
    set: (exchange: KeyExchange | undefined) => {
      current = exchange;
      if (exchange !== undefined && prefersHybrid(exchange._remoteKexinit)) {
        makeHybrid(exchange);
        // ssh2 compared the client's guess with the exchange that it chose itself.
        if (guesses(exchange._remoteKexinit)) {
          host._skipNextInboundPacket = namesOf(exchange._remoteKexinit)[0] !== HYBRID_KEX;
        }
      }
    },
  });
}

/**
 * RFC 4253 §7.1: the client's first name that the server also offers is chosen. The hybrid exchange applies when that name is
 * its own.
 */
function prefersHybrid(kexInit: Buffer): boolean {
  return namesOf(kexInit).includes(HYBRID_KEX) && firstKnown(namesOf(kexInit)) === HYBRID_KEX;
}

function firstKnown(names: readonly string[]): string | undefined {
  return names.find((name) => OFFERED_KEX.includes(name));
}

/** The exchanges that the server offers, ours first. */
export const OFFERED_KEX: readonly string[] = [
  ...(hybridKexSupported ? [HYBRID_KEX] : []),
  "curve25519-sha256",
  "curve25519-sha256@libssh.org",
  "ecdh-sha2-nistp256",
  "ecdh-sha2-nistp384",
  "ecdh-sha2-nistp521",
  "diffie-hellman-group14-sha256",
  "diffie-hellman-group16-sha512",
];

/** The first name list. The lengths are valid, because ssh2 has already parsed the message. */
function namesOf(kexInit: Buffer): string[] {
  const length = kexInit.readUInt32BE(FIRST_LIST_OFFSET);
  return kexInit.toString("latin1", FIRST_LIST_OFFSET + 4, FIRST_LIST_OFFSET + 4 + length).split(",");
}

/** Whether the client sent the first message of its guessed exchange right away. */
function guesses(kexInit: Buffer): boolean {
  let at = FIRST_LIST_OFFSET;
  for (let list = 0; list < NAME_LISTS; list++) at += 4 + kexInit.readUInt32BE(at);
  return kexInit[at] === 1;
}

function makeHybrid(exchange: KeyExchange): void {
  let reply: Buffer | undefined;
  let secret: Buffer | Error | undefined;
  exchange.type = HYBRID_KEX;
  exchange.hashName = "sha256";
  exchange.generateKeys = () => undefined;
  exchange.convertPublicKey = (key) => key;
  // ssh2 requests the secret first, then our half of the exchange.
  exchange.computeSecret = (key) => {
    if (secret === undefined) {
      try {
        const answer = answerHybrid(key);
        reply = answer.reply;
        secret = answer.secret;
      } catch (error) {
        secret = error as Error;
      }
    }
    return secret;
  };
  exchange.getPublicKey = () => {
    if (reply === undefined) throw new Error("the hybrid key exchange has no reply before its secret");
    return reply;
  };
}

/**
 * @param init The client's encapsulation key and X25519 key.
 * @returns `reply`: ciphertext and our X25519 key; `secret`: SHA-256 over both shared secrets, encoded as a string and not as a
 *   number.
 * @throws When the client's keys are invalid.
 */
export function answerHybrid(init: Uint8Array): { readonly reply: Buffer; readonly secret: Buffer } {
  if (init.length !== ENCAPSULATION_KEY_BYTES + X25519_BYTES)
    throw new RangeError(
      `the client's key has ${init.length} bytes instead of ${ENCAPSULATION_KEY_BYTES + X25519_BYTES}`,
    );
  const bytes = Buffer.from(copyBytes(init));
  const encapsulation = publicKey(ML_KEM_SPKI, bytes.subarray(0, ENCAPSULATION_KEY_BYTES));
  const { sharedKey, ciphertext } = crypto.encapsulate(encapsulation);
  const own = crypto.generateKeyPairSync("x25519");
  const classical = crypto.diffieHellman({
    privateKey: own.privateKey,
    publicKey: publicKey(X25519_SPKI, bytes.subarray(ENCAPSULATION_KEY_BYTES)),
  });
  const secret = crypto.createHash("sha256").update(sharedKey).update(classical).digest();
  const ownPublic = own.publicKey.export({ type: "spki", format: "der" }).subarray(X25519_SPKI.length);
  return { reply: Buffer.concat([ciphertext, ownPublic]), secret };
}

function publicKey(head: Buffer, raw: Buffer): crypto.KeyObject {
  return crypto.createPublicKey({ key: Buffer.concat([head, raw]), format: "der", type: "spki" });
}
