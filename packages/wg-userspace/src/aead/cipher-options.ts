/** Size of a cipher's packet memory. */
export interface CipherOptions {
  readonly txSlots: number;
  readonly rxSlots: number;
  /** Bytes of a slot, a multiple of 16: the largest message it holds. 1536 for Ethernet paths, 9216 for jumbo frames. */
  readonly stride: number;
}

export const DEFAULT_CIPHER_OPTIONS: CipherOptions = { txSlots: 256, rxSlots: 256, stride: 1536 };
