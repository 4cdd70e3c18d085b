/**
 * dRPC for code that awaits: typed by the generated services. The async*.ts files of this folder are the only ones of the
 * package that know promises; they start no timers and read no clock.
 */
import type {
  DescMessage,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { YamuxSession } from "../yamux/session.ts";
import { Inbox } from "./async-inbox.ts";
import { type DrpcFailure, LOCAL_CODE } from "./call.ts";
import { type ClientCall, type ClientCallHandlers, startCall } from "./client.ts";
import { DrpcError, drpcError } from "./error.ts";
import { decode, encode, rpcPath } from "./message.ts";
import { SOFT_SEND_LIMIT_BYTES } from "./pump.ts";

export { implement, type RpcContext, type RpcServiceImpl, type ServeRpcOptions, serveRpc } from "./async-server.ts";
export { UNIMPLEMENTED_CODE } from "./call.ts";
export { DrpcError } from "./error.ts";

/** The used part of AbortSignal, for which this package has no type. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** The answer side of a call that streams answers. It is read once: iterate over either it or `messages`. */
export interface RpcReadable<O extends DescMessage> extends AsyncIterable<MessageShape<O>> {
  /** Ends when the server has sent everything or after cancel(); throws DrpcError when the call failed. */
  readonly messages: AsyncIterable<MessageShape<O>>;
  /** Resolves when the call is over for whatever reason. Never rejects. */
  readonly finished: Promise<void>;
  /** Cancels the call; reading ends without an error. Idempotent. */
  cancel(): void;
}

export interface RpcDuplex<I extends DescMessage, O extends DescMessage> extends RpcReadable<O> {
  /**
   * The message is accepted unless the call is over.
   * @returns false when more than 256 KiB wait to be sent: await drained() before the next one. Beyond 8 MiB the call
   * fails. Also false when the call is over.
   */
  send(message: MessageInitShape<I>): boolean;
  /** Resolves when few bytes wait to be sent, or the call is over. */
  drained(): Promise<void>;
  /** No more messages from us; the server's may still come. */
  closeSend(): void;
}

/** Calls to the peer of one yamux session. All failures are {@link DrpcError}, but for an abort, which is its signal's reason. */
export interface RpcSession {
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options?: { readonly signal?: AbortSignalLike },
  ): Promise<MessageShape<O>>;
  serverStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
  ): RpcReadable<O>;
  /** The server learns of the call with the first message, or at the latest with the first read. */
  bidi<I extends DescMessage, O extends DescMessage>(method: DescMethodBiDiStreaming<I, O>): RpcDuplex<I, O>;
  /** Ends the session and all its calls. */
  close(): void;
  /** Resolves when the session is over. Never rejects. */
  readonly closed: Promise<void>;
}

export function createRpcSession(yamux: YamuxSession): RpcSession {
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  yamux.whenClosed(() => resolve());
  return {
    unary: (method, request, options = {}) => callUnary(yamux, method, request, options.signal),
    serverStream: (method, request) => {
      const call = new StreamingCall(yamux, method.input, method.output, rpcPath(method));
      call.send(request);
      call.closeSend();
      return call;
    },
    bidi: (method) => new StreamingCall(yamux, method.input, method.output, rpcPath(method)),
    close: () => yamux.close(),
    closed,
  };
}

function callUnary<I extends DescMessage, O extends DescMessage>(
  yamux: YamuxSession,
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  signal: AbortSignalLike | undefined,
): Promise<MessageShape<O>> {
  const { promise, resolve, reject } = Promise.withResolvers<MessageShape<O>>();
  if (signal?.aborted === true) {
    reject(signal.reason);
    return promise;
  }
  const bytes = encode(method.input, request);
  if (bytes instanceof DrpcError) {
    reject(bytes);
    return promise;
  }
  let answer: Uint8Array | undefined;
  let call: ClientCall | undefined;
  const onAbort = (): void => {
    call?.cancel();
    reject(signal?.reason);
  };
  const settle = (): void => signal?.removeEventListener("abort", onAbort);
  const opened = openCall(yamux, rpcPath(method), {
    onMessage: (bytes) => {
      // One message is the whole answer; the server's "end" after it may be lost with the connection.
      if (answer === undefined) answer = bytes;
    },
    onEnd: () => {
      settle();
      if (answer === undefined)
        return reject(new DrpcError(LOCAL_CODE, `${method.name}: no answer`, { reason: "protocol" }));
      const message = decode(method.output, answer);
      if (message instanceof DrpcError) {
        reject(message);
        endIfOverflow(yamux, message);
      } else resolve(message);
    },
    onFailure: (failure) => {
      settle();
      reject(drpcError(failure));
    },
  });
  if (opened instanceof DrpcError) {
    reject(opened);
    return promise;
  }
  call = opened;
  signal?.addEventListener("abort", onAbort);
  call.sendMessage(bytes);
  call.closeSend();
  return promise;
}

/** A call that streams in at least one direction, over callbacks. */
class StreamingCall<I extends DescMessage, O extends DescMessage> implements RpcDuplex<I, O> {
  readonly messages: AsyncIterable<MessageShape<O>>;
  readonly finished: Promise<void>;
  readonly #input: I;
  readonly #inbox: Inbox<MessageShape<O>>;
  readonly #call: ClientCall | undefined;
  readonly #finish: () => void;
  #waiters: (() => void)[] = [];

  constructor(yamux: YamuxSession, input: I, output: O, path: string) {
    this.#input = input;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.finished = promise;
    this.#finish = resolve;
    this.#inbox = new Inbox({
      pause: () => this.#call?.pause(),
      resume: () => this.#call?.resume(),
      cancel: () => this.cancel(),
    });
    const inbox = this.#inbox;
    this.messages = {
      [Symbol.asyncIterator]: () => {
        this.#call?.start();
        return inbox;
      },
    };
    const call = openCall(yamux, path, {
      onMessage: (bytes) => {
        const message = decode(output, bytes);
        if (message instanceof DrpcError) {
          this.#fail(message);
          endIfOverflow(yamux, message);
        } else inbox.push(message, bytes.length);
      },
      onEnd: () => this.#over({}),
      onFailure: (failure: DrpcFailure) => this.#over({ error: drpcError(failure) }),
      onDrained: () => this.#wake(),
    });
    if (call instanceof DrpcError) this.#over({ error: call });
    else this.#call = call;
  }

  [Symbol.asyncIterator](): AsyncIterator<MessageShape<O>> {
    return this.messages[Symbol.asyncIterator]();
  }

  send(message: MessageInitShape<I>): boolean {
    if (this.#call === undefined || this.#call.over) return false;
    const bytes = encode(this.#input, message);
    if (bytes instanceof DrpcError) {
      this.#fail(bytes);
      return false;
    }
    return this.#call.sendMessage(bytes);
  }

  drained(): Promise<void> {
    const call = this.#call;
    if (call === undefined || call.over || call.bufferedBytes <= SOFT_SEND_LIMIT_BYTES) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  closeSend(): void {
    this.#call?.closeSend();
  }

  cancel(): void {
    this.#call?.cancel();
    this.#inbox.drop();
    this.#over({});
  }

  #fail(error: DrpcError): void {
    this.#call?.cancel();
    this.#over({ error });
  }

  #over(end: { readonly error?: unknown }): void {
    this.#inbox.end(end);
    this.#finish();
    this.#wake();
  }

  #wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }
}

/** The other calls of a peer whose message is too costly end with its connection. */
function endIfOverflow(yamux: YamuxSession, error: DrpcError): void {
  if (error.reason === "overflow") yamux.close(error.message);
}

function openCall(yamux: YamuxSession, path: string, handlers: ClientCallHandlers): ClientCall | DrpcError {
  const call = startCall(yamux, path, handlers);
  if (call !== undefined) return call;
  const why =
    yamux.ended === undefined ? "too many calls at once" : (yamux.ended.failure ?? "the connection is closed");
  return new DrpcError(LOCAL_CODE, `${path}: ${why}`, { reason: "transport" });
}
