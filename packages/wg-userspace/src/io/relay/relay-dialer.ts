import { connect as connectTcp, isIP, type Socket, type TcpNetConnectOpts } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { once } from "../../async/abort.ts";
import type { RelayTarget } from "../../derp/relay-candidates.ts";
import { systemName } from "../host/local-names.ts";
import { neededLookup } from "../host/needed-lookup.ts";
import { toEngineError } from "../host/node-errors.ts";
import { optionalLookup } from "../host/optional-names.ts";
import { tlsRefusal, verifiedAfterwards } from "./tls-refusal.ts";

/** Opens the byte stream to a relay. Implementations add proxies, authorities and client certificates. */
export interface RelayDialer {
  /** Rejects with an EngineError or with `signal.reason`. The stream is the caller's. */
  connect(target: RelayTarget, options: { readonly signal: AbortSignal }): Promise<Duplex>;
  /** Addresses at which this host was reached lately without a proxy. */
  addressesOf?(host: string): readonly string[];
}

/** Plain TCP or TLS without a proxy, with Node's own list of authorities. */
export const directRelayDialer: RelayDialer = {
  async connect(target, { signal }) {
    signal.throwIfAborted();
    const where = `"${target.host}:${target.port}"`;
    const socket = target.tls ? openTls(target, signal) : connectTcp(tcpOptions(target, signal));
    try {
      await once(socket, target.tls ? "secureConnect" : "connect", signal);
      const refusal = target.tls && !target.insecure ? tlsRefusal(socket as TLSSocket, where) : undefined;
      if (refusal !== undefined) throw refusal;
    } catch (error) {
      socket.on("error", () => undefined); // the outcome is decided
      socket.destroy();
      if (error === signal.reason) throw error;
      throw toEngineError(error, `cannot connect to ${where}`);
    }
    socket.setKeepAlive(true, 30_000);
    return socket;
  },
};

function tcpOptions({ host, port, optional }: RelayTarget, signal: AbortSignal): TcpNetConnectOpts {
  return {
    host: systemName(host),
    port,
    noDelay: true,
    lookup: optional === true ? optionalLookup(signal) : neededLookup(signal),
  };
}

function openTls(target: RelayTarget, signal: AbortSignal): Socket {
  return connectTls({
    ...tcpOptions(target, signal),
    ALPNProtocols: ["http/1.1"],
    servername: isIP(target.serverName) === 0 ? target.serverName : undefined,
    ...verifiedAfterwards(target.certName || target.serverName),
  }).setNoDelay(true);
}
