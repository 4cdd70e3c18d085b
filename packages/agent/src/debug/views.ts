/** The agent's state, for debugging it through the tunnel. Values that may be secret are left out. */
import { candidateReports, pathRef } from "coder-client/node/peer-paths";
import type { TailnetNode } from "coder-client/node/tailnet-node";
import { uuidFromBytes } from "coder-protocol/addresses";
import type { Manifest } from "coder-protocol/gen/agent_pb.js";
import { shortKey } from "wg-userspace/base/keys";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { netReportToJson } from "wg-userspace/netcheck/report-json";
import type { PeerOnPath } from "../control/stats.ts";

const REDACTED = "[redacted]";

/** The manifest with the field names of stock agents, without values of variables and secrets and without script texts. */
export function manifestView(manifest: Manifest | undefined): unknown {
  if (manifest === undefined) return null;
  return {
    agent_id: uuidFromBytes(manifest.agentId) ?? null,
    agent_name: manifest.agentName,
    owner_name: manifest.ownerUsername,
    workspace_id: uuidFromBytes(manifest.workspaceId) ?? null,
    workspace_name: manifest.workspaceName,
    git_auth_configs: manifest.gitAuthConfigs,
    environment_variables: Object.fromEntries(
      Object.keys(manifest.environmentVariables).map((name) => [name, REDACTED]),
    ),
    secrets: manifest.secrets.map(({ envName, filePath }) => ({ env_name: envName, file_path: filePath })),
    directory: manifest.directory,
    motd_file: manifest.motdPath,
    vscode_port_proxy_uri: manifest.vsCodePortProxyUri,
    disable_direct_connections: manifest.disableDirectConnections,
    derp_force_websockets: manifest.derpForceWebsockets,
    relay_regions: Object.keys(manifest.derpMap?.regions ?? {}).map(Number),
    scripts: manifest.scripts.map((script) => ({
      display_name: script.displayName,
      cron: script.cron,
      run_on_start: script.runOnStart,
      run_on_stop: script.runOnStop,
      start_blocks_login: script.startBlocksLogin,
      length: script.script.length,
    })),
    apps: manifest.apps.map(({ slug, displayName }) => ({ slug, display_name: displayName })),
    metadata: manifest.metadata.map(({ key, displayName }) => ({ key, display_name: displayName })),
  };
}

/** Our endpoints and relays, and every client with its paths. */
export function networkView(node: TailnetNode): unknown {
  const now = monotonicNow();
  const { driver, netReport, derpMap } = node;
  return {
    node_key: shortKey(driver.engine.publicKey),
    udp_ports: driver.udpPorts,
    relay: { state: driver.relays.homeState, error: driver.relays.homeError?.message ?? null },
    drops: driver.engine.dropCounts(),
    net_report: netReport === undefined ? null : netReportToJson(netReport),
    peers: driver.engine.peers().map((peer) => ({
      node_key: shortKey(peer.publicKey),
      path: pathRef(peer.path, derpMap) ?? null,
      last_handshake_age_ms: peer.lastHandshakeAt === undefined ? null : now - peer.lastHandshakeAt,
      last_heard_age_ms: peer.lastReceivedAt === undefined ? null : now - peer.lastReceivedAt,
      rx_bytes: peer.rxBytes,
      tx_bytes: peer.txBytes,
      candidates: candidateReports(peer.endpoint.finder, now),
    })),
  };
}

export interface AgentCounts {
  readonly connections: { readonly tcp: number; readonly udp: number };
  readonly sessions: {
    readonly ssh: number;
    readonly vscode: number;
    readonly jetbrains: number;
    readonly terminals: number;
  };
  readonly traffic: { readonly rxBytes: number; readonly txBytes: number };
  readonly peers: readonly PeerOnPath[];
}

/** Prometheus' text format, version 0.0.4. */
export function metricsText({ connections, sessions, traffic, peers }: AgentCounts): string {
  const onPath = (path: PeerOnPath["path"]): number => peers.filter((peer) => peer.path === path).length;
  return [
    ...family("coder_agent_relayed_connections", "gauge", "Connections to programs of the workspace, open now.", [
      ['protocol="tcp"', connections.tcp],
      ['protocol="udp"', connections.udp],
    ]),
    ...family(
      "coder_agent_sessions",
      "gauge",
      "Sessions open now, by what their client is.",
      Object.entries(sessions).map(([type, count]) => [`type="${type}"`, count]),
    ),
    ...family("coder_agent_tunnel_bytes_total", "counter", "Bytes of all clients known now.", [
      ['direction="received"', traffic.rxBytes],
      ['direction="sent"', traffic.txBytes],
    ]),
    ...family("coder_agent_reachable_peers", "gauge", "Clients heard from recently, by the path to them.", [
      ['path="direct"', onPath("direct")],
      ['path="relayed"', onPath("relayed")],
    ]),
    "",
  ].join("\n");
}

function family(name: string, type: string, help: string, values: readonly (readonly [string, number])[]): string[] {
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...values.map(([labels, n]) => `${name}{${labels}} ${n}`),
  ];
}
