/**
 * One dRPC call, each side a state machine over one byte stream. Pass bytes to handleBytes while wantsInput; pollEvent
 * then returns their meaning, until it returns undefined; takeOutput returns the bytes to send. See
 * docs/protocols/coordination.md.
 */
import { ByteQueue } from "../yamux/byte-queue.ts";
import {
  decodeError,
  decodeText,
  encodeError,
  encodeText,
  MAX_PACKET_BYTES,
  type Packet,
  PacketKind,
  PacketReader,
  type ReassemblyBudget,
  writePacket,
} from "./frame.ts";

/** Go clients take this code for "not supported by the server" and continue without the call. */
export const UNIMPLEMENTED_CODE = 12;
/** Code of failures that the peer did not report. Never on the wire. */
export const LOCAL_CODE = -1;

/**
 * `remote`: the peer answered with an error. `cancelled`: one side cancelled the call. `transport`: the stream ended
 * before the call did. `protocol`: the peer sent invalid data. `overflow`: the receiver is slower than the sender,
 * beyond all bounds.
 */
export type DrpcFailureReason = "remote" | "cancelled" | "transport" | "protocol" | "overflow";

export interface DrpcFailure {
  readonly reason: DrpcFailureReason;
  /** The peer's code with reason `remote`, LOCAL_CODE otherwise. */
  readonly code: number;
  readonly text: string;
}

export type DrpcEvent =
  /** Server only, and first. */
  | { readonly kind: "invoke"; readonly path: string }
  | { readonly kind: "message"; readonly bytes: Uint8Array }
  /** The peer sends no more messages. */
  | { readonly kind: "end" }
  /** Last. The call is over. */
  | { readonly kind: "failed"; readonly failure: DrpcFailure };

export interface DrpcCallOptions {
  readonly maxMessageBytes?: number;
  readonly budget?: ReassemblyBudget;
}

const STREAM_ID = 1;
const EMPTY = new Uint8Array(0);

export function localFailure(reason: Exclude<DrpcFailureReason, "remote">, text: string): DrpcFailure {
  return { reason, code: LOCAL_CODE, text };
}

/** The common part of both sides. */
abstract class DrpcCall {
  readonly #reader: PacketReader;
  readonly #output = new ByteQueue();
  #streamId: number;
  #nextMessageId = 1;
  #transportEnded = false;
  #sendEnded = false;
  #receiveEnded = false;
  #over = false;

  constructor(streamId: number | undefined, options: DrpcCallOptions) {
    this.#streamId = streamId ?? STREAM_ID;
    this.#reader = new PacketReader({
      maxPacketBytes: options.maxMessageBytes ?? MAX_PACKET_BYTES,
      budget: options.budget,
      streamId,
    });
  }

  /** Neither side will send any more; output may be left. */
  get over(): boolean {
    return this.#over;
  }
  /** The peer announced that it sends no more. */
  get receiveEnded(): boolean {
    return this.#receiveEnded;
  }
  get sendEnded(): boolean {
    return this.#sendEnded;
  }
  get wantsInput(): boolean {
    return !this.#over && this.#reader.wantsInput;
  }
  get outputBytes(): number {
    return this.#output.length;
  }

  /** Only while wantsInput. @param chunk Owned by the call from now on. */
  handleBytes(chunk: Uint8Array): void {
    if (!this.#over) this.#reader.feed(chunk);
  }

  /** The peer's byte stream ended: after what was received before, the call fails if it was not over. */
  handleTransportEnd(): void {
    this.#transportEnded = true;
  }

  /** Undefined if there is nothing until more input arrives. */
  pollEvent(): DrpcEvent | undefined {
    while (!this.#over) {
      const packet = this.#reader.next();
      if (packet === undefined) break;
      const event = this.#handlePacket(packet);
      if (event !== undefined) return event;
    }
    if (this.#over) return undefined;
    if (this.#reader.failure !== undefined) return this.failed(localFailure("protocol", this.#reader.failure));
    if (this.#transportEnded && this.#reader.wantsInput && !this.endsWithTransport())
      return this.failed(this.transportFailure());
    return undefined;
  }

  /** Up to `maxBytes` to send, owned by the caller. */
  takeOutput(maxBytes = 64 * 1024): Uint8Array | undefined {
    return this.#output.take(maxBytes);
  }

  /** @param bytes Borrowed. @returns false if our side has ended. */
  sendMessage(bytes: Uint8Array): boolean {
    if (this.#sendEnded || this.#over) return false;
    this.send(PacketKind.message, bytes);
    return true;
  }

  /** Cancels the call silently; the transport's end informs the peer. */
  abandon(): void {
    this.#output.clear();
    this.finishBoth();
  }

  #handlePacket(packet: Packet): DrpcEvent | undefined {
    this.#streamId = packet.streamId;
    switch (packet.kind) {
      case PacketKind.invoke:
      case PacketKind.invokeMetadata:
        return this.handleInvocation(packet);
      case PacketKind.message:
        if (!this.invoked())
          return this.failed(localFailure("protocol", "dRPC protocol error: message before the call"));
        return this.#receiveEnded ? undefined : { kind: "message", bytes: packet.data };
      case PacketKind.error: {
        const { code, text } = decodeError(packet.data);
        return this.failed({ reason: "remote", code, text });
      }
      case PacketKind.cancel:
        return this.failed(localFailure("cancelled", "the peer cancelled the call"));
      case PacketKind.close:
        return this.handleClose();
      case PacketKind.closeSend:
        if (!this.invoked()) return this.failed(localFailure("protocol", "dRPC protocol error: end before the call"));
        if (this.#receiveEnded) return undefined;
        this.#receiveEnded = true;
        return { kind: "end" };
    }
  }

  protected abstract handleInvocation(packet: Packet): DrpcEvent | undefined;
  protected abstract invoked(): boolean;
  protected abstract handleClose(): DrpcEvent | undefined;
  /** Whether the end of the transport is expected now. */
  protected abstract endsWithTransport(): boolean;
  protected abstract transportFailure(): DrpcFailure;

  protected send(kind: PacketKind, data: Uint8Array = EMPTY): void {
    writePacket(this.#output, kind, this.#streamId, this.#nextMessageId++, data);
  }

  protected endSending(): void {
    this.#sendEnded = true;
  }

  protected finishBoth(): void {
    this.#over = true;
    this.#sendEnded = true;
    this.#receiveEnded = true;
    this.#reader.dispose();
  }

  protected failed(failure: DrpcFailure): DrpcEvent {
    this.#output.clear();
    this.finishBoth();
    return { kind: "failed", failure };
  }
}

/** The caller's side. Invoke is output from the start. */
export class DrpcClientCall extends DrpcCall {
  constructor(path: string, options: DrpcCallOptions = {}) {
    super(STREAM_ID, options);
    this.send(PacketKind.invoke, encodeText(path));
  }

  /** No more messages from us; the answer may still come. Idempotent. */
  closeSend(): void {
    if (this.sendEnded) return;
    this.endSending();
    this.send(PacketKind.closeSend);
  }

  /** Called after the answer: ends the call in both directions. Idempotent. */
  close(): void {
    if (this.over) return;
    this.send(PacketKind.close);
    this.finishBoth();
  }

  protected override handleInvocation(): DrpcEvent {
    return this.failed(localFailure("protocol", "dRPC protocol error: the server calls"));
  }
  protected override invoked(): boolean {
    return true;
  }
  protected override handleClose(): DrpcEvent | undefined {
    const ended = this.receiveEnded;
    this.finishBoth();
    return ended ? undefined : { kind: "end" };
  }
  protected override endsWithTransport(): boolean {
    return this.receiveEnded;
  }
  protected override transportFailure(): DrpcFailure {
    return localFailure("transport", "the connection ended before the answer");
  }
}

/** The answering side. */
export class DrpcServerCall extends DrpcCall {
  #invoked = false;

  constructor(options: DrpcCallOptions = {}) {
    super(undefined, options);
  }

  /** All messages were sent. Further messages of the caller are not read. */
  finish(): void {
    if (this.over) return;
    this.send(PacketKind.closeSend);
    this.finishBoth();
  }

  fail(code: number, text: string): void {
    if (this.over) return;
    this.send(PacketKind.error, encodeError(code, text));
    this.finishBoth();
  }

  protected override handleInvocation(packet: Packet): DrpcEvent | undefined {
    if (this.#invoked) return this.failed(localFailure("protocol", "dRPC protocol error: second call on one stream"));
    if (packet.kind === PacketKind.invokeMetadata) return undefined;
    this.#invoked = true;
    return { kind: "invoke", path: decodeText(packet.data) };
  }
  protected override invoked(): boolean {
    return this.#invoked;
  }
  protected override handleClose(): DrpcEvent {
    return this.failed(localFailure("cancelled", "the caller closed the call"));
  }
  protected override endsWithTransport(): boolean {
    return false;
  }
  protected override transportFailure(): DrpcFailure {
    return localFailure("cancelled", "the caller left");
  }
}
