/** Parses the answers of an SFTP server from chunks of any size. Pure. */
import { RESPONSE } from "coder-agent/services/ssh/sftp/codec";

export interface AnswerSink {
  /** Where the data of this read goes. Throws when no read of at least `length` bytes has this id. */
  target(id: number, length: number): Uint8Array;
  /** {@link target} has been filled. */
  data(id: number, length: number): void;
  /** Any other answer. `body` is what follows the id (in VERSION, the version), and may be kept. */
  answer(type: number, id: number, body: Buffer): void;
}

/** The limit of OpenSSH's client; no answer to a request of ours is larger. */
const MAX_ANSWER_BYTES = 256 * 1024;
/** Length, type and id. DATA has another length after them. */
const HEAD_BYTES = 9;
const DATA_HEAD_BYTES = 13;

export class AnswerParser {
  readonly #sink: AnswerSink;
  readonly #head = Buffer.alloc(DATA_HEAD_BYTES);
  #headFilled = 0;
  #headWanted = HEAD_BYTES;
  #type = 0;
  #id = 0;
  /** The body being filled, once the head is complete. */
  #body: Uint8Array | undefined;
  #bodyFilled = 0;

  constructor(sink: AnswerSink) {
    this.#sink = sink;
  }

  /**
   * @param chunk Borrowed.
   * @throws When the server breaks the protocol; the parser must not be used afterwards.
   */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#body === undefined) {
        at += this.#fillHead(chunk, at);
        if (this.#headFilled < this.#headWanted) continue;
        this.#begin();
        if (this.#body === undefined) continue; // the head of DATA is longer, so it continues
      } else {
        const count = Math.min(this.#body.length - this.#bodyFilled, chunk.length - at);
        this.#body.set(chunk.subarray(at, at + count), this.#bodyFilled);
        this.#bodyFilled += count;
        at += count;
      }
      if (this.#bodyFilled === this.#body.length) this.#end(this.#body);
    }
  }

  #fillHead(chunk: Uint8Array, at: number): number {
    const count = Math.min(this.#headWanted - this.#headFilled, chunk.length - at);
    this.#head.set(chunk.subarray(at, at + count), this.#headFilled);
    this.#headFilled += count;
    return count;
  }

  #begin(): void {
    const length = this.#head.readUInt32BE(0);
    this.#type = this.#head.readUInt8(4);
    this.#id = this.#head.readUInt32BE(5);
    const isData = this.#type === RESPONSE.data;
    if (length < (isData ? DATA_HEAD_BYTES : HEAD_BYTES) - 4 || length > MAX_ANSWER_BYTES)
      throw new Error(`an SFTP packet of ${length} bytes`);
    if (!isData) {
      this.#body = Buffer.allocUnsafe(length - (HEAD_BYTES - 4));
    } else if (this.#headWanted === HEAD_BYTES) {
      this.#headWanted = DATA_HEAD_BYTES;
    } else {
      const dataLength = this.#head.readUInt32BE(HEAD_BYTES);
      if (dataLength !== length - (DATA_HEAD_BYTES - 4)) throw new Error("an SFTP packet whose lengths disagree");
      this.#body = this.#sink.target(this.#id, dataLength).subarray(0, dataLength);
    }
  }

  #end(body: Uint8Array): void {
    this.#body = undefined;
    this.#bodyFilled = 0;
    this.#headFilled = 0;
    this.#headWanted = HEAD_BYTES;
    if (this.#type === RESPONSE.data) this.#sink.data(this.#id, body.length);
    else this.#sink.answer(this.#type, this.#id, body as Buffer);
  }
}
