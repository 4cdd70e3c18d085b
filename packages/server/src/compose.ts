/** Joins the parts into the server that `coder server` runs: REST and store, coordinator, relay, STUN. */

import { monotonicNow } from "wg-userspace/io/host/clock";
import { nodeCryptoSuite, nodeRandom } from "wg-userspace/io/host/crypto-suite";
import { CoordinatingControlPlane } from "./control/control-plane.ts";
import type { EmbeddedRelay, ServerContext } from "./http/context.ts";
import { RelayListener } from "./relay/relay-listener.ts";
import { relayMetrics } from "./relay/relay-metrics.ts";
import { startStun } from "./relay/stun-part.ts";
import type { ServerDeps } from "./server.ts";

export function standardParts(): Required<Pick<ServerDeps, "relay" | "controlPlane" | "stun">> {
  let control: CoordinatingControlPlane | undefined;
  let gate: RelayListener | undefined;
  return {
    relay: (context: ServerContext): EmbeddedRelay => {
      const listener = new RelayListener({
        privateKey: context.keys.derpPrivate,
        crypto: nodeCryptoSuite,
        random: nodeRandom,
        clock: monotonicNow,
        admit: (key) =>
          context.probeKeys.admits(key) || (control?.coordinator.knowsKey(key, context.clock.now()) ?? false),
        // Clients dial the relay and the coordinator at the same time, in any order.
        holdUnknown: true,
        addressOf: (request) => context.clientAddress(request),
      });
      relayMetrics(listener, context.metrics);
      gate = listener;
      return listener;
    },
    controlPlane: async (context) => {
      control = await CoordinatingControlPlane.open(context);
      if (gate !== undefined) control.guard(gate);
      return control;
    },
    stun: (context, address) => startStun(address, context.log, context.metrics),
  };
}
