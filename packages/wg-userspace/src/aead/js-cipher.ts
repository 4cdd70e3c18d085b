/** PacketCipher in plain JavaScript, one packet after the other: the reference for the fast one, and the fallback. */
import { CIPHER_BATCH, type PacketCipher } from "../base/ports.ts";
import { openChaCha20Poly1305, sealChaCha20Poly1305 } from "./chacha20-poly1305.ts";
import { checksum } from "./checksum.ts";
import { assertJob, type CipherOptions, completeOptions, TAG_BYTES } from "./cipher-options.ts";
import { SlotRing } from "./slot-ring.ts";

const NO_DATA = new Uint8Array(0);

interface Job {
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly offset: number;
  readonly length: number;
}
type Kind = "seal" | "open";

/** @throws RangeError on sizes that no memory can have. */
export function createJsCipher(options: Partial<CipherOptions> = {}): PacketCipher {
  const { stride, txSlots, rxSlots } = completeOptions(options);
  const bytes = new Uint8Array((txSlots + rxSlots) * stride);
  const jobs: Job[] = [];
  let kind: Kind = "seal";
  let verdicts: boolean[] = [];

  function queue(
    as: Kind,
    key: Uint8Array,
    counterLow: number,
    counterHigh: number,
    offset: number,
    length: number,
  ): number {
    assertKind(as);
    if (jobs.length === CIPHER_BATCH) return -1;
    assertJob(key, offset, length, 0, bytes.length, stride);
    kind = as;
    const nonce = new Uint8Array(12);
    const view = new DataView(nonce.buffer);
    view.setUint32(4, counterLow, true);
    view.setUint32(8, counterHigh, true);
    return jobs.push({ key: new Uint8Array(key), nonce, offset, length }) - 1;
  }
  function assertKind(wanted: Kind): void {
    if (jobs.length > 0 && kind !== wanted) throw new Error("a batch is either sealing or opening");
  }
  function run({ key, nonce, offset, length }: Job): boolean {
    const data = bytes.subarray(offset, offset + length);
    const sealed = bytes.subarray(offset, offset + length + TAG_BYTES);
    const result =
      kind === "seal"
        ? sealChaCha20Poly1305(key, nonce, data, NO_DATA)
        : openChaCha20Poly1305(key, nonce, sealed, NO_DATA);
    if (result === undefined) sealed.fill(0);
    else sealed.set(result);
    key.fill(0);
    return result !== undefined;
  }

  return {
    memory: { bytes, view: new DataView(bytes.buffer) },
    tx: new SlotRing(0, stride, txSlots),
    rx: new SlotRing(txSlots * stride, stride, rxSlots),
    checksum,
    queueSeal: (key, low, high, offset, length) => queue("seal", key, low, high, offset, length),
    queueOpen: (key, low, high, offset, length) => queue("open", key, low, high, offset, length),
    runSeal() {
      assertKind("seal");
      for (const job of jobs.splice(0)) run(job);
    },
    runOpen() {
      assertKind("open");
      verdicts = jobs.splice(0).map(run);
    },
    verdict: (index) => verdicts[index] === true,
  };
}
