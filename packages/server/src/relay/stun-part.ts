/** The STUN server as a part of this server. It is optional: a port that is in use only causes a warning. */

import { Gauge, type Registry } from "prom-client";
import { EngineError } from "wg-userspace/base/errors";
import { nodeRandom } from "wg-userspace/io/host/crypto-suite";
import { StunListener } from "wg-userspace/io/probe/stun-server";
import { formatListenAddress, type ListenAddress } from "../base/listen-address.ts";
import type { Logger } from "../base/log.ts";

/** A running STUN server. */
export interface StunPart {
  /** UDP port it is bound to. */
  readonly port: number;
  close(): Promise<void>;
}

/** Binds the address. Resolves to undefined, after a warning, if that fails. */
export async function startStun(address: ListenAddress, log: Logger, metrics: Registry): Promise<StunPart | undefined> {
  let listener: StunListener | undefined;
  try {
    listener = await StunListener.open({
      host: address.host,
      port: address.port,
      random: nodeRandom,
      onError: (error) => log.warn({ err: error }, "the STUN server stopped: direct connections may become rarer"),
    });
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    log.warn(
      `no STUN server on "${formatListenAddress(address)}": ${error.message}; direct connections depend on other ` +
        "STUN servers. Choose another address with --stun-address, or switch it off with --stun-address disable",
    );
    return undefined;
  }
  stunMetrics(listener, metrics);
  return { port: listener.port, close: () => listener.close() };
}

function stunMetrics(listener: StunListener, registry: Registry): void {
  new Gauge({
    name: "coder_stun_answers",
    help: "STUN requests answered since the start, by family",
    labelNames: ["family"],
    registers: [registry],
    collect(this: Gauge<"family">) {
      this.set({ family: "ipv4" }, listener.counts.answeredV4);
      this.set({ family: "ipv6" }, listener.counts.answeredV6);
    },
  });
  new Gauge({
    name: "coder_stun_dropped",
    help: "Datagrams at the STUN port that got no answer since the start, by reason",
    labelNames: ["reason"],
    registers: [registry],
    collect(this: Gauge<"reason">) {
      for (const [reason, count] of Object.entries(listener.counts.dropped)) this.set({ reason }, count);
      this.set({ reason: "not-taken" }, listener.notTaken);
    },
  });
}
