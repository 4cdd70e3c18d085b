import { Counter, Gauge, type Registry } from "prom-client";
import { shortReplicaId } from "../base/replica-id.ts";
import type { RelayListener } from "./relay-listener.ts";
import type { RelayMesh, SiblingStatus } from "./relay-mesh.ts";

/** Metrics about the links to the relays of other servers, read when the metrics are requested; one value for each server. */
export function meshMetrics(
  mesh: Pick<RelayMesh, "status">,
  relay: Pick<RelayListener, "metrics">,
  registry: Registry,
): void {
  const bySibling = (name: string, help: string, value: (status: SiblingStatus) => number | undefined): void => {
    new Gauge({
      name,
      help,
      labelNames: ["sibling"],
      registers: [registry],
      collect() {
        this.reset();
        for (const status of mesh.status()) {
          const found = value(status);
          if (found !== undefined) this.set({ sibling: shortReplicaId(status.id) }, found);
        }
      },
    });
  };
  bySibling("coder_derp_mesh_link_up", "1 while there is a link to the relay of another server", ({ state }) =>
    Number(state === "up"),
  );
  bySibling(
    "coder_derp_mesh_keys",
    "Clients of another server's relay that packets are passed on to",
    ({ keys }) => keys,
  );
  bySibling("coder_derp_mesh_rtt_seconds", "Round trip over the link to another server's relay", ({ rttMs }) =>
    rttMs === undefined ? undefined : rttMs / 1_000,
  );
  new Counter({
    name: "coder_derp_mesh_drops_total",
    help: "Packets that a link to another server's relay had no room for",
    labelNames: ["sibling", "reason"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { id, dropped } of mesh.status())
        this.inc({ sibling: shortReplicaId(id), reason: "queue-full" }, dropped);
    },
  });
  new Counter({
    name: "coder_derp_mesh_forwarded_packets_total",
    help: "Packets between clients of different servers: out to the relay of another one, and in from there",
    labelNames: ["direction"],
    registers: [registry],
    collect() {
      this.reset();
      const { packetsForwardedIn, packetsForwardedOut } = relay.metrics.relay;
      this.inc({ direction: "in" }, packetsForwardedIn);
      this.inc({ direction: "out" }, packetsForwardedOut);
    },
  });
}
