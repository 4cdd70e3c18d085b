/** TCP and echoes inside the tunnel of a driver; datagrams are in udp-tunnel-socket.ts. */
import { abortable, once } from "../../async/abort.ts";
import { EngineError } from "../../base/errors.ts";
import { type AddrPort, formatAddrPort, type IpAddress } from "../../base/ip.ts";
import type { Netstack, TcpOptions, TcpRequest } from "../../netstack/stack.ts";
import { monotonicNow } from "../host/clock.ts";
import { TcpStream } from "./tcp-stream.ts";

/** What these sockets need of a driver. */
export interface TunnelTcpDriver {
  readonly engine: { readonly netstack: Netstack };
  readonly closed: boolean;
  /** Ends a turn soon, so that what is due leaves. */
  wake(): void;
}

/** Connects to an address inside the tunnel. Rejects with an EngineError, or with `signal.reason`. */
export async function connectTunnelTcp(
  driver: TunnelTcpDriver,
  remote: AddrPort,
  options: TcpOptions & { readonly signal?: AbortSignal | undefined } = {},
): Promise<TcpStream> {
  options.signal?.throwIfAborted();
  if (driver.closed) throw new EngineError("ERR_CLOSED", "the tunnel is closed");
  const connection = driver.engine.netstack.connectTcp(remote, options, monotonicNow());
  const stream = new TcpStream(connection, () => driver.wake());
  driver.wake();
  try {
    await once(stream, "connect", options.signal);
    return stream;
  } catch (error) {
    if (error === options.signal?.reason) stream.destroy();
    else if (!(error instanceof EngineError))
      throw new EngineError(
        "ERR_CONNECTION_RESET",
        `connection to ${formatAddrPort(remote)} ended before it was open`,
        { cause: error },
      );
    throw error;
  }
}

/** Listens inside the tunnel; the handler owns every accepted connection. */
export function listenTunnelTcp(
  driver: TunnelTcpDriver,
  port: number,
  onConnection: (stream: TcpStream) => void,
  options: TcpOptions = {},
): { close(): void } {
  return driver.engine.netstack.listenTcp(
    { port },
    {
      onRequest: (request) => {
        const stream = acceptTunnelTcp(driver, request, options);
        if (stream !== undefined) onConnection(stream);
      },
    },
  );
}

/**
 * Receives the SYNs to ports without a listener; answer with {@link acceptTunnelTcp} or {@link rejectTunnelTcp}. Replaces
 * an earlier fallback.
 */
export function setTunnelTcpFallback(driver: TunnelTcpDriver, onRequest: (request: TcpRequest) => void): void {
  driver.engine.netstack.setTcpFallback({ onRequest });
}

/** Answers a waiting SYN. Undefined when it is too late or there is no room. */
export function acceptTunnelTcp(
  driver: TunnelTcpDriver,
  request: TcpRequest,
  options: TcpOptions = {},
): TcpStream | undefined {
  const connection = request.accept(options, monotonicNow());
  driver.wake();
  return connection === undefined ? undefined : new TcpStream(connection, () => driver.wake());
}

export function rejectTunnelTcp(driver: TunnelTcpDriver, request: TcpRequest): void {
  request.reject(monotonicNow());
  driver.wake();
}

/** One echo inside the tunnel. Resolves with the round trip in ms; rejects with `signal.reason`. */
export async function pingTunnel(
  driver: TunnelTcpDriver,
  kind: "tsmp" | "icmp",
  destination: IpAddress,
  options: { readonly signal: AbortSignal },
): Promise<number> {
  return abortable(options.signal, (resolve) => {
    const handle = driver.engine.netstack.ping(kind, destination, resolve, monotonicNow());
    driver.wake();
    return (aborted) => {
      if (aborted) handle.cancel();
    };
  });
}
