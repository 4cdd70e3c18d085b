import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";
import { formatListenAddress, isLoopback } from "../base/listen-address.ts";
import type { Logger } from "../base/log.ts";
import type { OwnAddresses } from "../base/own-addresses.ts";
import type { ListeningConfig } from "../config/listening.ts";
import type { Listeners } from "./listeners.ts";
import { createMetricsServer } from "./process-metrics.ts";
import type { Certificates } from "./tls.ts";

/** Where a process listens. Undefined: it does not, or not yet. */
export interface Bound {
  /** The address of plain http. */
  readonly address: AddressInfo | undefined;
  readonly tlsAddress: AddressInfo | undefined;
  readonly metricsAddress: AddressInfo | undefined;
}

export const NOT_BOUND: Bound = { address: undefined, tlsAddress: undefined, metricsAddress: undefined };

interface BindOptions {
  /** Records what is bound. */
  readonly addresses: OwnAddresses;
  /** For https, if it is configured. */
  readonly certificates: Certificates | undefined;
  readonly metrics: Registry;
  /** The data that the warning about plain http names. */
  readonly whatCrosses: string;
  readonly log: Logger;
}

/** Binds every configured address. Throws ServerError. */
export async function bindConfigured(
  listeners: Listeners,
  config: Pick<ListeningConfig, "http" | "tls" | "prometheus">,
  { addresses, certificates, metrics, whatCrosses, log }: BindOptions,
): Promise<Bound> {
  let tlsAddress: AddressInfo | undefined;
  if (config.tls !== undefined && certificates !== undefined) {
    tlsAddress = await listeners.https(config.tls.address, "tls-address", certificates);
    addresses.tlsBound({ host: tlsAddress.address, port: tlsAddress.port });
  }
  let address: AddressInfo | undefined;
  if (config.http !== undefined) {
    address = await listeners.http(config.http, "http-address");
    addresses.httpBound({ host: address.address, port: address.port });
    if (!isLoopback(address.address))
      log.warn(`plain http is reachable from other machines: ${whatCrosses} cross the network unencrypted`);
  }
  let metricsAddress: AddressInfo | undefined;
  if (config.prometheus !== undefined) {
    metricsAddress = await listeners.bind(createMetricsServer(metrics), config.prometheus, "prometheus-address");
    if (!isLoopback(metricsAddress.address)) log.warn("metrics are reachable from other machines without a login");
  }
  return { address, tlsAddress, metricsAddress };
}

/** One line for each address, for people. */
export function boundLines({ address, tlsAddress, metricsAddress }: Bound): string[] {
  const lines: string[] = [];
  if (address !== undefined) lines.push(`Listening on http://${text(address)}`);
  if (tlsAddress !== undefined) lines.push(`Listening on https://${text(tlsAddress)}`);
  if (metricsAddress !== undefined) lines.push(`Metrics on http://${text(metricsAddress)}/metrics`);
  return lines;
}

function text({ address, port }: AddressInfo): string {
  return formatListenAddress({ host: address, port });
}
