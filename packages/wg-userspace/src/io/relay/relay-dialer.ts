import { connect as connectTcp, isIP, type Socket, type TcpNetConnectOpts } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { toEngineError } from "../host/node-errors.ts";
import { optionalLookup } from "../host/optional-names.ts";
import { judgedLater, tlsRefusal } from "./tls-refusal.ts";

export interface RelayTarget {
  /** Name or literal address to connect to. */
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** Name in SNI and, unless certName says otherwise, in the certificate. */
  readonly serverName: string;
  /** Name to expect in the certificate instead of serverName. */
  readonly certName?: string;
  /** Do not verify the certificate: tests only. */
  readonly insecure?: boolean;
  /** Nothing waits for it: resolving its name keeps out of the way of what is needed. */
  readonly optional?: boolean;
}

/** Opens the byte stream to a relay. Implementations add proxies, authorities and client certificates. */
export interface RelayDialer {
  /** Rejects with an EngineError or with `signal.reason`. The stream is the caller's. */
  connect(target: RelayTarget, options: { readonly signal: AbortSignal }): Promise<Duplex>;
  /** Addresses at which this host was reached lately, without anything in between. */
  addressesOf?(host: string): readonly string[];
}

/** Straight TCP or TLS, with Node's own list of authorities. */
export const directRelayDialer: RelayDialer = {
  async connect(target, { signal }) {
    signal.throwIfAborted();
    const where = `"${target.host}:${target.port}"`;
    return new Promise<Duplex>((resolve, reject) => {
      const socket = target.tls ? openTls(target, signal) : connectTcp(tcpOptions(target, signal));
      const settle = (): void => {
        socket.off("error", failed);
        socket.off(target.tls ? "secureConnect" : "connect", connected);
        signal.removeEventListener("abort", aborted);
      };
      const failed = (error: Error): void => {
        settle();
        reject(toEngineError(error, `cannot connect to ${where}`));
      };
      const aborted = (): void => {
        settle();
        socket.on("error", () => undefined); // the outcome is decided
        socket.destroy();
        reject(signal.reason);
      };
      const connected = (): void => {
        const refusal = target.tls && !target.insecure ? tlsRefusal(socket as TLSSocket, where) : undefined;
        settle();
        if (refusal !== undefined) {
          socket.on("error", () => undefined); // the outcome is decided
          socket.destroy();
          reject(refusal);
          return;
        }
        socket.setKeepAlive(true, 30_000);
        resolve(socket);
      };
      socket.on("error", failed);
      socket.on(target.tls ? "secureConnect" : "connect", connected);
      signal.addEventListener("abort", aborted);
    });
  },
};

function tcpOptions({ host, port, optional }: RelayTarget, signal: AbortSignal): TcpNetConnectOpts {
  return { host, port, noDelay: true, ...(optional === true ? { lookup: optionalLookup(signal) } : {}) };
}

function openTls(target: RelayTarget, signal: AbortSignal): Socket {
  return connectTls({
    ...tcpOptions(target, signal),
    ALPNProtocols: ["http/1.1"],
    ...(isIP(target.serverName) === 0 ? { servername: target.serverName } : {}),
    ...judgedLater(target.certName || target.serverName),
  }).setNoDelay(true);
}
