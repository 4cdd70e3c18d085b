/** Size of a cipher's packet memory, which never grows. */
export interface CipherOptions {
  readonly txSlots: number;
  readonly rxSlots: number;
  /** Bytes of a slot, a multiple of 16: the largest message it holds. 1536 for Ethernet paths, 9216 for jumbo frames. */
  readonly stride: number;
}

export const DEFAULT_CIPHER_OPTIONS: CipherOptions = { txSlots: 256, rxSlots: 256, stride: 1536 };

/** Bytes of all slots of a cipher: the module is compiled for 64 MiB, less what lies before the slots. */
const MAX_SLOT_BYTES = 64 * 1024 * 1024 - 65_536;
export const KEY_BYTES = 32;
export const TAG_BYTES = 16;

/** Fills in the defaults. @throws RangeError on sizes that no memory can have. */
export function completeOptions(options: Partial<CipherOptions>): CipherOptions {
  const { txSlots, rxSlots, stride } = { ...DEFAULT_CIPHER_OPTIONS, ...options };
  if (![txSlots, rxSlots].every((slots) => Number.isInteger(slots) && slots > 0))
    throw new RangeError(`slots of a cipher are positive integers, not ${txSlots} and ${rxSlots}`);
  if (!Number.isInteger(stride) || stride % 16 !== 0 || stride < 64)
    throw new RangeError(`stride ${stride} is not a multiple of 16 from 64 on`);
  if ((txSlots + rxSlots) * stride > MAX_SLOT_BYTES)
    throw new RangeError(`${txSlots + rxSlots} slots of ${stride} bytes are more than ${MAX_SLOT_BYTES} bytes`);
  return { txSlots, rxSlots, stride };
}

/** Throws unless a job has a whole key and lies, with its tag, within one slot: anything else is a bug of the caller. */
export function assertJob(
  key: Uint8Array,
  offset: number,
  length: number,
  slotsAt: number,
  slotBytes: number,
  stride: number,
): void {
  if (key.length !== KEY_BYTES) throw new RangeError(`a key has ${KEY_BYTES} bytes, not ${key.length}`);
  const at = offset - slotsAt;
  if (!(at >= 0 && at < slotBytes && length >= 0 && (at % stride) + length + TAG_BYTES <= stride))
    throw new RangeError(`${length} bytes at ${offset}, and their tag, are not within one slot`);
}
