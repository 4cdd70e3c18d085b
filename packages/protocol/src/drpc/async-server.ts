/** Services as objects of handlers, typed by the generated descriptors. */
import type {
  DescMessage,
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { YamuxSession } from "../yamux/session.ts";
import { Inbox } from "./async-inbox.ts";
import { DrpcError } from "./error.ts";
import type { ReassemblyBudget } from "./frame.ts";
import { decode, encode, rpcPath } from "./message.ts";
import { SOFT_SEND_LIMIT_BYTES } from "./pump.ts";
import { type RouteHandler, type ServerCall, type ServerCallHandlers, serveDrpc } from "./server.ts";

/** One call, as its handler sees it. */
export interface RpcContext<O extends DescMessage> {
  readonly path: string;
  /**
   * Streaming calls only.
   * @returns false when more than 256 KiB wait to be sent: the message was accepted, but await drained() before the
   * next one, or abort the call. Beyond 8 MiB the call is cancelled. Also false when the call is over.
   */
  send(message: MessageInitShape<O>): boolean;
  /** Resolves when few bytes wait to be sent, or the call is over. */
  drained(): Promise<void>;
  /** The caller cancelled, or the connection is gone. */
  readonly cancelled: boolean;
  /** Called once when that happens, or at once if it already has. Not after the handler has returned. */
  onCancel(callback: () => void): void;
}

type UnaryHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  context: RpcContext<O>,
) => Promise<MessageInitShape<O>> | MessageInitShape<O>;

/** Either sends through the context and resolves when done, or returns the message to send. Must end when cancelled. */
type ServerStreamHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  context: RpcContext<O>,
) => Promise<void> | AsyncIterable<MessageInitShape<O>>;

/** Requests end when the caller ends them or leaves. The call is over when the promise settles. */
type BidiHandler<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageShape<I>>,
  context: RpcContext<O>,
) => Promise<void>;

type HandlerOf<M> =
  M extends DescMethodUnary<infer I, infer O>
    ? UnaryHandler<I, O>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? ServerStreamHandler<I, O>
      : M extends DescMethodBiDiStreaming<infer I, infer O>
        ? BidiHandler<I, O>
        : never;

/** A service and the handlers of its methods. Made by {@link implement}. */
export interface RpcServiceImpl {
  readonly service: DescService;
  /** By local name. */
  readonly handlers: ReadonlyMap<string, unknown>;
}

/** Handlers by the methods' local names; a method without one is answered with code 12. */
export function implement<S extends DescService>(
  service: S,
  handlers: { readonly [K in keyof S["method"]]?: HandlerOf<S["method"][K]> },
): RpcServiceImpl {
  return { service, handlers: new Map(Object.entries(handlers).filter(([, handler]) => handler !== undefined)) };
}

export interface ServeRpcOptions {
  /** Receives what a handler threw unless it is a DrpcError: the caller only gets "internal error". */
  readonly onError?: (error: unknown, path: string) => void;
  /** Memory for unfinished messages, which sessions may share; by default the session has its own. */
  readonly budget?: ReassemblyBudget;
}

/** Answers all calls of the session. A handler answers with an error by throwing DrpcError; its code and message are sent. */
export function serveRpc(
  yamux: YamuxSession,
  services: readonly RpcServiceImpl[],
  options: ServeRpcOptions = {},
): void {
  const routes = new Map<string, RouteHandler | "unimplemented">();
  const serving = { ...options, refuse: refuseIn(yamux) };
  for (const { service, handlers } of services) {
    for (const method of service.methods) {
      const handler = handlers.get(method.localName);
      routes.set(rpcPath(method), handler === undefined ? "unimplemented" : route(method, handler, serving));
    }
  }
  serveDrpc(yamux, { find: (path) => routes.get(path) }, options.budget);
}

interface Serving extends ServeRpcOptions {
  /** Answers a request that could not be decoded. */
  readonly refuse: (call: ServerCall, error: DrpcError) => void;
}

/** A caller whose message is too costly gets an answer and loses the connection with all its calls. */
function refuseIn(yamux: YamuxSession): Serving["refuse"] {
  return (call, error) => {
    call.fail(0, error.message);
    if (error.reason === "overflow") yamux.close(error.message);
  };
}

/** implement() has checked that the handler is one for this kind of method. */
function route(method: DescMethod, handler: unknown, options: Serving): RouteHandler {
  switch (method.methodKind) {
    case "unary":
      return (call) => serveUnary(call, method, handler as UnaryHandler<DescMessage, DescMessage>, options);
    case "server_streaming":
      return (call) => serveStream(call, method, handler as ServerStreamHandler<DescMessage, DescMessage>, options);
    case "bidi_streaming":
      return (call) => serveBidi(call, method, handler as BidiHandler<DescMessage, DescMessage>, options);
    case "client_streaming":
      throw new TypeError(`${rpcPath(method)} streams requests only, which no service of ours does`);
  }
}

function serveUnary(
  call: ServerCall,
  method: DescMethod,
  handler: UnaryHandler<DescMessage, DescMessage>,
  options: Serving,
): ServerCallHandlers {
  const context = new CallContext(call, method.output);
  return oneRequest(call, method, context, options, (request) =>
    context.run(options, async () => {
      const answer = await handler(request, context);
      if (!call.over) context.send(answer);
    }),
  );
}

function serveStream(
  call: ServerCall,
  method: DescMethod,
  handler: ServerStreamHandler<DescMessage, DescMessage>,
  options: Serving,
): ServerCallHandlers {
  const context = new CallContext(call, method.output);
  return oneRequest(call, method, context, options, (request) =>
    context.run(options, async () => {
      const answers = handler(request, context);
      if (!(Symbol.asyncIterator in answers)) return answers;
      for await (const answer of answers) {
        if (!context.send(answer)) await context.drained();
        if (context.cancelled) return;
      }
    }),
  );
}

function serveBidi(
  call: ServerCall,
  method: DescMethod,
  handler: BidiHandler<DescMessage, DescMessage>,
  options: Serving,
): ServerCallHandlers {
  const context = new CallContext(call, method.output);
  const requests = new Inbox<MessageShape<DescMessage>>({
    pause: () => call.pause(),
    resume: () => call.resume(),
    cancel: () => undefined, // the handler reads no more, but may still send
  });
  context.onCancel(() => requests.end());
  context.run(options, () => handler(requests, context));
  return {
    onMessage: (bytes) => {
      const request = decode(method.input, bytes);
      if (!(request instanceof DrpcError)) return requests.push(request, bytes.length);
      options.refuse(call, request);
      context.cancel();
    },
    onEnd: () => requests.end(),
    onCancel: () => context.cancel(),
    onDrained: () => context.wake(),
  };
}

/** Runs `handle` with the only request that the call may have. */
function oneRequest(
  call: ServerCall,
  method: DescMethod,
  context: CallContext,
  options: Serving,
  handle: (request: MessageShape<DescMessage>) => void,
): ServerCallHandlers {
  let received = false;
  return {
    onMessage: (bytes) => {
      if (received) return call.fail(0, "more than one request");
      received = true;
      const request = decode(method.input, bytes);
      if (request instanceof DrpcError) options.refuse(call, request);
      else handle(request);
    },
    onEnd: () => {
      if (!received) call.fail(0, "no request");
    },
    onCancel: () => context.cancel(),
    onDrained: () => context.wake(),
  };
}

class CallContext implements RpcContext<DescMessage> {
  readonly path: string;
  readonly #call: ServerCall;
  readonly #output: DescMessage;
  #cancelled = false;
  #done = false;
  #onCancel: (() => void)[] = [];
  #waiters: (() => void)[] = [];

  constructor(call: ServerCall, output: DescMessage) {
    this.path = call.path;
    this.#call = call;
    this.#output = output;
  }

  get cancelled(): boolean {
    return this.#cancelled;
  }

  send(message: MessageInitShape<DescMessage>): boolean {
    if (this.#call.over) return false;
    const bytes = encode(this.#output, message);
    if (bytes instanceof DrpcError) throw bytes; // the handler's own error
    return this.#call.respond(bytes);
  }

  drained(): Promise<void> {
    if (this.#call.over || this.#call.bufferedBytes <= SOFT_SEND_LIMIT_BYTES) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  onCancel(callback: () => void): void {
    if (this.#cancelled) callback();
    else if (!this.#done) this.#onCancel.push(callback);
  }

  cancel(): void {
    if (this.#done || this.#cancelled) return;
    this.#cancelled = true;
    for (const callback of this.#onCancel.splice(0)) callback();
    this.wake();
  }

  wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }

  /** Runs a handler and ends the call with its result. */
  run(options: ServeRpcOptions, handle: () => Promise<void>): void {
    let running: Promise<void>;
    try {
      running = handle();
    } catch (error) {
      this.#fail(error, options);
      return;
    }
    running.then(
      () => this.#finish(),
      (error: unknown) => this.#fail(error, options),
    );
  }

  #finish(): void {
    this.#done = true;
    this.#onCancel = [];
    this.#call.finish();
  }

  #fail(error: unknown, options: ServeRpcOptions): void {
    const gone = this.#cancelled;
    this.#done = true;
    this.#onCancel = [];
    const meant = error instanceof DrpcError && error.code >= 0 ? error : undefined;
    if (meant === undefined) this.#call.fail(0, "internal error");
    else this.#call.fail(meant.code, meant.message);
    if (meant === undefined && !gone) options.onError?.(error, this.path);
  }
}
