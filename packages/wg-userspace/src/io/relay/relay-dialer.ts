import { isIP, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { once } from "../../async/abort.ts";
import type { RelayTarget } from "../../derp/relay-candidates.ts";
import { connectHost } from "../host/connect-host.ts";
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
    try {
      const socket = await openTcp(target, signal);
      socket.setKeepAlive(true, 30_000);
      return target.tls ? await secured(socket, target, where, signal) : socket;
    } catch (error) {
      if (error === signal.reason) throw error;
      throw toEngineError(error, `cannot connect to ${where}`);
    }
  },
};

function openTcp({ host, port, optional }: RelayTarget, signal: AbortSignal): Promise<Socket> {
  const lookup = optional === true ? optionalLookup(signal) : neededLookup(signal);
  return connectHost({ host, port, lookup, signal });
}

async function secured(socket: Socket, target: RelayTarget, where: string, signal: AbortSignal): Promise<TLSSocket> {
  const secure = connectTls({
    socket,
    ALPNProtocols: ["http/1.1"],
    servername: isIP(target.serverName) === 0 ? target.serverName : undefined,
    ...verifiedAfterwards(target.certName || target.serverName),
  });
  try {
    await once(secure, "secureConnect", signal);
    const refusal = target.insecure ? undefined : tlsRefusal(secure, where);
    if (refusal !== undefined) throw refusal;
    return secure;
  } catch (error) {
    secure.on("error", () => undefined); // the outcome is decided
    secure.destroy();
    throw error;
  }
}
