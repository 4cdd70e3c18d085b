import { Gauge, type Registry } from "prom-client";
import { clientPaths } from "./agent-network.ts";
import type { Coordinator } from "./coordinator.ts";
import type { PeerReports } from "./peer-reports.ts";

/** The coordinator's figures on /metrics, read when the metrics are requested. */
export function controlMetrics(
  registry: Registry,
  sources: { coordinator: Coordinator; reports: PeerReports; openSockets: () => number },
): void {
  const { coordinator, reports } = sources;
  const simple: readonly [string, string, () => number][] = [
    ["coder_coordinator_tunnels", "Tunnels that clients asked for", () => coordinator.tunnelCount],
    ["coder_control_sockets_open", "Open control connections", sources.openSockets],
  ];
  for (const [name, help, value] of simple) {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect(this: Gauge) {
        this.set(value());
      },
    });
  }
  new Gauge({
    name: "coder_coordinator_peers",
    help: "Clients and agents connected to the coordinator, by kind",
    labelNames: ["kind"],
    registers: [registry],
    collect(this: Gauge<"kind">) {
      const counts = { agent: 0, client: 0 };
      for (const { kind } of coordinator.describe()) counts[kind]++;
      for (const [kind, count] of Object.entries(counts)) this.set({ kind }, count);
    },
  });
  new Gauge({
    name: "coder_tailnet_connections",
    help: "Clients connected to agents, by the path that they report",
    labelNames: ["path"],
    registers: [registry],
    collect(this: Gauge<"path">) {
      for (const [path, count] of Object.entries(clientPaths(coordinator, reports))) this.set({ path }, count);
    },
  });
  new Gauge({
    name: "coder_tailnet_agent_peers",
    help: "Peers of all agents, by the path that the agents report",
    labelNames: ["path"],
    registers: [registry],
    collect(this: Gauge<"path">) {
      let direct = 0;
      let relayed = 0;
      for (const peer of coordinator.describe()) {
        const peers = peer.kind === "agent" ? reports.agent(peer.id)?.peers : undefined;
        direct += peers?.direct ?? 0;
        relayed += peers?.relayed ?? 0;
      }
      this.set({ path: "direct" }, direct);
      this.set({ path: "relayed" }, relayed);
    },
  });
}
