/** Answers calls over a yamux session, with callbacks: one yamux stream per call. */
import type { YamuxSession } from "../yamux/session.ts";
import type { YamuxStream } from "../yamux/stream.ts";
import { type DrpcCallOptions, DrpcServerCall, UNIMPLEMENTED_CODE } from "./call.ts";
import type { ReassemblyBudget } from "./frame.ts";
import { CallPump } from "./pump.ts";

/** Memory for unfinished messages of all the calls of one session. */
const SESSION_REASSEMBLY_BYTES = 32 * 1024 * 1024;

export interface ServerCallHandlers {
  /** @param bytes Owned by the handler. */
  onMessage(bytes: Uint8Array): void;
  /** The caller sends no more messages. */
  onEnd(): void;
  /** The caller cancelled, or the connection is gone. No answer can be sent, and nothing more is reported. */
  onCancel(): void;
  /** Called after a respond that returned false: sending may continue. */
  onDrained?(): void;
}

/** Called with every call of a route; returns the handler of its messages. */
export type RouteHandler = (call: ServerCall) => ServerCallHandlers;

/** The registration of a path. `unimplemented`: known, and answered with code 12. Undefined: unknown. */
export interface DrpcRoutes {
  find(path: string): RouteHandler | "unimplemented" | undefined;
}

/**
 * Answers all calls of the session, including those already waiting.
 * @param budget Memory for unfinished messages; sessions may share one.
 */
export function serveDrpc(
  session: YamuxSession,
  routes: DrpcRoutes,
  budget: ReassemblyBudget = { usedBytes: 0, limitBytes: SESSION_REASSEMBLY_BYTES },
): void {
  const acceptAll = (): void => {
    for (let stream = session.accept(); stream !== undefined; stream = session.accept())
      serveCall(stream, routes, { budget });
  };
  session.onIncoming = acceptAll;
  acceptAll();
}

function serveCall(stream: YamuxStream, routes: DrpcRoutes, options: DrpcCallOptions): void {
  const call = new DrpcServerCall(options);
  let handlers: ServerCallHandlers | undefined;
  const pump = new CallPump(stream, call, "server", {
    onEvent: (event) => {
      switch (event.kind) {
        case "invoke": {
          const answering = new ServerCall(event.path, call, pump);
          const route = routes.find(event.path);
          if (route === undefined) answering.fail(0, `unknown rpc: ${JSON.stringify(event.path)}`);
          else if (route === "unimplemented")
            answering.fail(UNIMPLEMENTED_CODE, `unimplemented rpc: ${JSON.stringify(event.path)}`);
          else handlers = route(answering);
          return;
        }
        case "message":
          return handlers?.onMessage(event.bytes);
        case "end":
          return handlers?.onEnd();
        case "failed":
          return handlers?.onCancel();
      }
    },
    onDrained: () => handlers?.onDrained?.(),
  });
  pump.start();
}

/** The answering end of one call. */
export class ServerCall {
  readonly path: string;
  readonly #call: DrpcServerCall;
  readonly #pump: CallPump;

  constructor(path: string, call: DrpcServerCall, pump: CallPump) {
    this.path = path;
    this.#call = call;
    this.#pump = pump;
  }

  get over(): boolean {
    return this.#call.over;
  }
  get bufferedBytes(): number {
    return this.#pump.bufferedBytes;
  }

  /** Like ClientCall.sendMessage. @param message Borrowed. */
  respond(message: Uint8Array): boolean {
    return this.#pump.sendMessage(message);
  }

  /** The answer is complete. Idempotent. */
  finish(): void {
    this.#call.finish();
    this.#pump.flush();
  }

  /** Answers with an error. Code 0 unless the code has a meaning; 12 is "unimplemented". Idempotent. */
  fail(code: number, text: string): void {
    this.#call.fail(code, text);
    this.#pump.flush();
  }

  /** Ends the call without an answer. */
  abort(): void {
    this.#pump.cancel();
  }

  /** No more messages until resume(): the caller is slowed down. */
  pause(): void {
    this.#pump.pause();
  }
  resume(): void {
    this.#pump.resume();
  }
}
