import * as crypto from "node:crypto";
import { describe, expect, test } from "vitest";
import { answerHybrid, hybridKexSupported } from "./post-quantum-kex.ts";

/** The client's side of the exchange, as the draft describes it. */
class HybridClient {
  readonly #kem = crypto.generateKeyPairSync("ml-kem-768");
  readonly #classical = crypto.generateKeyPairSync("x25519");

  get init(): Buffer {
    return Buffer.concat([
      this.#kem.publicKey.export({ type: "spki", format: "der" }).subarray(-1184),
      this.#classical.publicKey.export({ type: "spki", format: "der" }).subarray(-32),
    ]);
  }

  secret(reply: Buffer): Buffer {
    const shared = crypto.decapsulate(this.#kem.privateKey, reply.subarray(0, 1088));
    const classical = crypto.diffieHellman({
      privateKey: this.#classical.privateKey,
      publicKey: crypto.createPublicKey({
        key: Buffer.concat([Buffer.from("302a300506032b656e032100", "hex"), reply.subarray(1088)]),
        format: "der",
        type: "spki",
      }),
    });
    return crypto.createHash("sha256").update(shared).update(classical).digest();
  }
}

describe.runIf(hybridKexSupported)("the hybrid key exchange (needs a Node with ML-KEM)", () => {
  test("gives both sides the same secret, a new one each time", () => {
    const client = new HybridClient();
    const [one, two] = [answerHybrid(client.init), answerHybrid(client.init)];
    expect(one.reply.length).toBe(1088 + 32);
    expect(client.secret(one.reply)).toEqual(one.secret);
    expect(client.secret(two.reply)).toEqual(two.secret);
    expect(one.secret).not.toEqual(two.secret);
  });

  test.each([
    ["nothing", Buffer.alloc(0)],
    ["a key that is too short", Buffer.alloc(1215)],
    ["one that is too long", Buffer.alloc(1217)],
    ["an encapsulation key out of range", Buffer.alloc(1216, 0xff)],
  ])("refuses %s", (_, init) => {
    expect(() => answerHybrid(init)).toThrow();
  });

  test("refuses an X25519 key that makes the secret known", () => {
    const init = Buffer.from(new HybridClient().init);
    init.fill(0, 1184);
    expect(() => answerHybrid(init)).toThrow();
  });
});
