/** A browser WebSocket as a pipe of bytes. */
import { onAbort } from "wg-userspace/async/abort";
import { EngineError } from "wg-userspace/base/errors";

const OPEN_TIMEOUT_MS = 15_000;
const NORMAL_CLOSE = 1000;

export interface BytePipe {
  /** False while so much data is queued that no more should be written. */
  readonly writable: boolean;
  send(bytes: Uint8Array): void;
  close(): void;
}

export interface BytePipeEvents {
  onBytes(bytes: Uint8Array): void;
  /** Called once. */
  onClosed(reason: string): void;
}

const HIGH_WATER_BYTES = 512 * 1024;

/** Resolves when it is open. Browsers do not report why a WebSocket was refused, so neither does this. */
export function openPipe(
  url: URL,
  protocols: readonly string[],
  signal: AbortSignal,
): Promise<(events: BytePipeEvents) => BytePipe> {
  signal.throwIfAborted();
  const target = new URL(url);
  target.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(target, [...protocols]);
  socket.binaryType = "arraybuffer";
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(late);
      stopWatching();
      socket.onopen = socket.onerror = socket.onclose = null;
    };
    const fail = (error: unknown): void => {
      settle();
      socket.close();
      reject(error);
    };
    const refused = (): void =>
      fail(
        new EngineError("ERR_NETWORK_UNREACHABLE", `cannot open a WebSocket to ${url.origin}${url.pathname}`, {
          retryable: true,
        }),
      );
    const late = setTimeout(refused, OPEN_TIMEOUT_MS);
    const stopWatching = onAbort(signal, () => fail(signal.reason));
    socket.onerror = socket.onclose = refused;
    socket.onopen = () => {
      settle();
      resolve((events) => pipeOf(socket, events));
    };
  });
}

function pipeOf(socket: WebSocket, events: BytePipeEvents): BytePipe {
  let closed = false;
  const end = (reason: string): void => {
    if (closed) return;
    closed = true;
    events.onClosed(reason);
  };
  socket.onmessage = ({ data }: { data: unknown }) => {
    if (data instanceof ArrayBuffer) events.onBytes(new Uint8Array(data));
    else {
      socket.close();
      end("the server sent text where bytes belong");
    }
  };
  socket.onclose = ({ code, reason }) => end(reason === "" ? `closed with ${code}` : reason);
  return {
    get writable() {
      return socket.bufferedAmount < HIGH_WATER_BYTES;
    },
    // Copied, because the caller may reuse its memory at once.
    send: (bytes) => {
      if (socket.readyState === socket.OPEN) socket.send(Uint8Array.from(bytes));
    },
    close: () => {
      closed = true;
      socket.close(NORMAL_CLOSE);
    },
  };
}
