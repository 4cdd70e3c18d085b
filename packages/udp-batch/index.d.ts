/** Created by {@link bind}; one per address family. */
export interface UdpBatchSocket {
  readonly __udpBatchSocket: never;
}

/** Whether ChaCha20-Poly1305 is offered: this Node exports its OpenSSL, and a known answer was correct. */
export const hasAead: boolean;

/**
 * Seals the first `jobs` of the 32 job records at the start of `memory`, each of 64 bytes: key(32) counterLow(4)
 * counterHigh(4) offset(4) length(4), little-endian; the tag is written behind the text. Wipes the records.
 * @throws RangeError when a job does not lie within the memory.
 */
export function seal(memory: ArrayBuffer, jobs: number): void;
/**
 * The inverse of seal; the text of a wrong tag is zeroed. Returns the verdicts, bit i for job i, as a signed 32-bit
 * number.
 */
export function open(memory: ArrayBuffer, jobs: number): number;

/** One key and one direction of an SSH connection; its keys are wiped when it is closed or collected. */
export interface SshCipher {
  readonly __sshCipher: never;
}

/**
 * Whether the ciphers of SSH packets are offered, under the conditions of {@link hasAead}. Absent from builds of
 * earlier versions.
 */
export const hasSshCiphers: boolean;
/**
 * 0: aes128-gcm, 1: aes256-gcm (nonces of 12 bytes), 2: chacha20-poly1305@openssh.com (keys of 64 bytes, the text's first;
 * nonces of 8, the packet's number). A packet is its length (4 bytes, big-endian), the text and a tag of 16.
 */
export function sshCipher(kind: 0 | 1 | 2, key: Uint8Array, sealing: 0 | 1): SshCipher;
/** Safe to call twice; every other function throws afterwards. */
export function sshClose(cipher: SshCipher): void;
/** Seals in place: the packet has its length, its text and room for the tag. */
export function sshSeal(cipher: SshCipher, nonce: Uint8Array, packet: Uint8Array): void;
/** The length of the packet that begins at `at`; not authentic yet. */
export function sshLength(cipher: SshCipher, nonce: Uint8Array, bytes: Uint8Array, at: number): number;
/**
 * Opens the packet at `at`, whose text fills `text` exactly.
 * @returns whether it is authentic; `text` is zeroed if not.
 */
export function sshOpen(cipher: SshCipher, nonce: Uint8Array, bytes: Uint8Array, at: number, text: Uint8Array): boolean;
/** Begins a packet that has arrived in part; its length lies at `at`. */
export function sshStart(cipher: SshCipher, nonce: Uint8Array, bytes: Uint8Array, at: number): void;
/** Opens `count` bytes of the packet's text into `text` at `textAt`; they are not authentic before {@link sshEnd}. */
export function sshContinue(
  cipher: SshCipher,
  bytes: Uint8Array,
  at: number,
  count: number,
  text: Uint8Array,
  textAt: number,
): void;
/** Ends the packet. @returns whether its tag, at `at`, is right. */
export function sshEnd(cipher: SshCipher, tag: Uint8Array, at: number): boolean;

export interface BindOptions {
  readonly family: 4 | 6;
  /** 0 for a port that the system chooses. */
  readonly port: number;
  /** Requested size of the kernel's buffers, in bytes. */
  readonly bufferBytes: number;
  /** Where datagrams are received to and sent from; must not be detached while the socket is open. */
  readonly memory: ArrayBuffer;
  readonly onReadable: () => void;
  /** Called once after {@link watchWritable}. */
  readonly onWritable: () => void;
}

/** Throws an Error whose `code` is that of the system call, such as "EADDRINUSE". */
export function bind(options: BindOptions): UdpBatchSocket;
export function port(socket: UdpBatchSocket): number;
/** Safe to call twice. Afterwards every function except this one throws. */
export function close(socket: UdpBatchSocket): void;

/** Bytes of one address: family (4 or 6), 0, port (2, big-endian), address (4 or 16). */
export const ADDRESS_BYTES: 20;
/** Words of one record: slot, length, index of the address. */
export const RECORD_WORDS: 3;
/** Set in the result of `receive` when more datagrams are waiting that found no slot. */
export const MORE: number;

/**
 * Receives into `slots`, offsets of free slots of `stride` bytes. Fills one record per datagram, in order of arrival; a datagram
 * longer than a slot takes none and has slot -1. An address is written when it differs from that of the record before.
 * @returns the number of records, with {@link MORE} when something is left.
 */
export function receive(
  socket: UdpBatchSocket,
  slots: Int32Array,
  stride: number,
  records: Int32Array,
  addresses: Uint8Array,
): number;

/**
 * Sends `count` records from the memory. Neighbours of equal length to one address leave as one system call.
 * @returns how many the kernel accepted or refused permanently, which counts as loss; fewer than `count` when its
 * buffer is full.
 */
export function send(socket: UdpBatchSocket, records: Int32Array, count: number, addresses: Uint8Array): number;
/** Whether `sendOne` supports `whole`; absent from builds of earlier versions. */
export const sendsWhole: boolean;
/**
 * Sends one datagram that is not in the memory. `hopLimit` 0 means the default. With `whole` 1 neither this host nor a router may
 * send it in fragments, so that its arrival shows what the path carries. Returns false when it was not sent.
 */
export function sendOne(
  socket: UdpBatchSocket,
  datagram: Uint8Array,
  address: Uint8Array,
  hopLimit: number,
  whole: 0 | 1,
): boolean;
/** Calls `onWritable` once the kernel accepts datagrams again. */
export function watchWritable(socket: UdpBatchSocket): void;
