/// <reference path="../../src/services/ssh/ssh2-internals.d.ts" />
/** The native module's SSH ciphers: compares their packets with ssh2's own, and runs the service's tests with them. */
import { randomBytes } from "node:crypto";
import sshCrypto from "ssh2/lib/protocol/crypto.js";
import { describe, expect, it } from "vitest";
import { loadUdpBatch } from "wg-userspace/io/udp/udp-batch";
import { useNativeCiphers } from "../../src/services/ssh/native-ciphers.ts";
// The tests that pass with ssh2's ciphers must pass with these.
import "../../src/services/ssh/hostile.test.ts";
import "../../src/services/ssh/lent-memory.test.ts";
import "../../src/services/ssh/security.test.ts";
import "../../src/services/ssh/ssh-service.test.ts";

it("is what every test in this file runs with", () => {
  expect(loadUdpBatch()?.hasSshCiphers).toBe(true);
});

const CIPHERS = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"] as const;
/** Sizes around the blocks of each cipher, around the limit of pooled packets, and of the largest packets of a channel. */
const SIZES = [1, 2, 10, 11, 12, 13, 27, 28, 4066, 4067, 4068, 4090, 32_777, 65_545, 200_000];

interface Sealer {
  outSeqno: number;
  allocPacket(bytes: number): Buffer;
  encrypt(packet: Buffer): void;
  free(): void;
}

interface Opener {
  readonly inSeqno: number;
  decrypt(data: Uint8Array, at: number, end: number): number | false | undefined;
  free(): void;
}

interface Ends {
  readonly sealer: Sealer;
  readonly opener: Opener;
  /** What the sealer wrote, in pieces. */
  readonly sealed: Buffer[];
  readonly opened: Buffer[];
}

/**
 * @param own Which ends use ssh2's own cipher.
 * @param seqno First sequence number, for counters that are about to carry.
 * @param iv The nonce to start with, for the same purpose; random by default.
 */
function ends(name: string, own: { readonly sealer?: true; readonly opener?: true }, seqno = 0, iv?: Buffer): Ends {
  useNativeCiphers();
  const info = sshCrypto.CIPHER_INFO[name]!;
  const key = randomBytes(info.keyLen);
  const nonce = iv ?? randomBytes(info.ivLen);
  const sealed: Buffer[] = [];
  const opened: Buffer[] = [];
  const outbound = {
    seqno,
    cipherInfo: info,
    cipherKey: key,
    cipherIV: Buffer.from(nonce),
    onWrite: (bytes: Buffer) => void sealed.push(Buffer.from(bytes)),
    forceNative: own.sealer === true,
  };
  const inbound = {
    seqno,
    decipherInfo: info,
    decipherKey: key,
    decipherIV: Buffer.from(nonce),
    onPayload: (payload: Buffer) => {
      opened.push(Buffer.from(payload));
      return undefined;
    },
    forceNative: own.opener === true,
  };
  return {
    sealer: sshCrypto.createCipher({ outbound }) as Sealer,
    opener: sshCrypto.createDecipher({ inbound }) as Opener,
    sealed,
    opened,
  };
}

function send({ sealer }: Ends, payload: Buffer): void {
  const packet = sealer.allocPacket(payload.length);
  packet.set(payload, 5);
  sealer.encrypt(packet);
}

/** Passes pieces whose sizes are unrelated to the packets; each is overwritten afterwards, like a chunk that was given back. */
function pass({ sealed, opener }: Ends, sizes: readonly number[]): void {
  const all = Buffer.concat(sealed.splice(0));
  for (let at = 0, turn = 0; at < all.length; turn++) {
    const piece = Buffer.from(all.subarray(at, at + sizes[turn % sizes.length]!));
    at += piece.length;
    expect(opener.decrypt(piece, 0, piece.length)).toBeUndefined();
    piece.fill(0xdd);
  }
}

describe.each(CIPHERS)("%s", (name) => {
  it.each([
    ["opens what ssh2 sealed", { sealer: true }],
    ["seals what ssh2 opens", { opener: true }],
    ["opens what it sealed", {}],
  ] as const)("%s", (_, own) => {
    const both = ends(name, own);
    for (const pieces of [[1e9], [1], [3, 40, 7, 5000], [16_384], [65_536]]) {
      const payloads = (pieces[0] === 1 ? SIZES.slice(0, 12) : SIZES).map((size) => randomBytes(size));
      for (const payload of payloads) send(both, payload);
      pass(both, pieces);
      expect(both.opened.splice(0).map((bytes) => bytes.equals(payloads.shift()!))).not.toContain(false);
      expect(payloads).toEqual([]);
    }
    expect(both.opener.inSeqno).toBe(both.sealer.outSeqno);
  });

  it("counts packets over every carry as ssh2 does", () => {
    for (const own of [{ sealer: true }, { opener: true }] as const) {
      const iv = name.startsWith("aes") ? Buffer.from("01020304fffffffffffffffe", "hex") : Buffer.alloc(0);
      const both = ends(name, own, 2 ** 32 - 2, iv);
      for (let i = 0; i < 5; i++) send(both, Buffer.from([i]));
      pass(both, [1e9]);
      expect(both.opened.map((payload) => payload[0])).toEqual([0, 1, 2, 3, 4]);
    }
  });

  it("refuses a packet of which one bit is another, whole and in parts", () => {
    for (const size of [10, 5000]) {
      for (const at of [4, 5, 20, -1, -16, -17]) {
        for (const piece of [1e9, 13]) {
          const both = ends(name, {});
          send(both, randomBytes(size));
          both.sealed[0]!.set([both.sealed[0]!.at(at)! ^ 0x20], at < 0 ? both.sealed[0]!.length + at : at);
          expect(() => pass(both, [piece])).toThrow("Invalid MAC");
          expect(both.opened).toEqual([]);
        }
      }
    }
  });

  it("refuses a packet twice, and one that is missing", () => {
    const both = ends(name, {});
    send(both, randomBytes(100));
    const first = both.sealed[0]!;
    pass(both, [1e9]);
    both.sealed.push(first);
    expect(() => pass(both, [1e9])).toThrow(/Invalid MAC|Bad packet length/);
    const other = ends(name, {});
    send(other, randomBytes(100));
    send(other, randomBytes(100));
    other.sealed.shift();
    expect(() => pass(other, [1e9])).toThrow(/Invalid MAC|Bad packet length/);
  });

  it("refuses impossible lengths before anything is allocated for them", () => {
    for (const length of [0, 1, 7, 17, 256 * 1024 + 16, 2 ** 31, 2 ** 32 - 16]) {
      const both = ends(name, {});
      const packet = both.sealer.allocPacket(8000);
      packet.writeUInt32BE(length, 0);
      both.sealer.encrypt(packet);
      expect(() => pass(both, [1e9])).toThrow("Bad packet length");
    }
  });

  it("refuses padding that the packet has no room for", () => {
    for (const padding of [0, 3, 255]) {
      const both = ends(name, {});
      const packet = both.sealer.allocPacket(1);
      packet[4] = padding;
      both.sealer.encrypt(packet);
      expect(() => pass(both, [1e9])).toThrow("Bad packet padding");
    }
  });

  it("opens nothing after a packet that it refused", () => {
    for (const piece of [1e9, 13])
      for (const damage of [0, 4, -1]) {
        const both = ends(name, {});
        send(both, randomBytes(100));
        const genuine = both.sealed[0]!;
        const damaged = Buffer.from(genuine);
        damaged[damage < 0 ? damaged.length + damage : damage]! ^= 0x80;
        both.sealed[0] = damaged;
        expect(() => pass(both, [piece])).toThrow(/Invalid MAC|Bad packet length/);
        both.sealed.push(genuine);
        pass(both, [piece]);
        expect(both.opened).toEqual([]);
      }
  });

  it("fills padding with bytes that never repeat", () => {
    const both = ends(name, {});
    const paddings = Array.from({ length: 2000 }, () => both.sealer.allocPacket(1).subarray(6, 10).toString("hex"));
    expect(new Set(paddings).size).toBeGreaterThan(1990);
  });

  it("uses the memory of a packet again only after it was given back", () => {
    const both = ends(name, {});
    const written: Buffer[] = [];
    const info = sshCrypto.CIPHER_INFO[name]!;
    const sealer = sshCrypto.createCipher({
      outbound: {
        seqno: 0,
        cipherInfo: info,
        cipherKey: randomBytes(info.keyLen),
        cipherIV: randomBytes(info.ivLen),
        onWrite: (bytes: Buffer) => void written.push(bytes),
      },
    }) as Sealer;
    const seal = (): void => send({ ...both, sealer }, randomBytes(30_000));
    seal();
    seal();
    expect(written[1]!.buffer).not.toBe(written[0]!.buffer);
    sshCrypto.releaseWhole(written[0]!);
    sshCrypto.releaseWhole(written[0]!); // a second time, which changes nothing
    seal();
    seal();
    expect(written[2]!.buffer).toBe(written[0]!.buffer);
    expect(new Set(written.slice(1).map(({ buffer }) => buffer)).size).toBe(3);
  });

  it("does nothing after it was freed", () => {
    const both = ends(name, {});
    both.sealer.free();
    both.sealer.free();
    send(both, randomBytes(10));
    expect(both.sealed).toEqual([]);
    both.opener.free();
    both.opener.free();
    expect(both.opener.decrypt(randomBytes(100), 0, 100)).toBeUndefined();
  });
});
