import type { JSX } from "preact";
import { useId } from "preact/hooks";
import { agentHistory } from "../../api/network.ts";
import type { AgentNetwork } from "../../api/workspaces.ts";
import { count, milliseconds } from "../../base/words.ts";
import { useAgentNetwork } from "../../live/sources.ts";
import { History } from "../history.tsx";
import { knownPath } from "./known-path.ts";
import { Reasons } from "./reasons.tsx";

type Client = AgentNetwork["clients"][number];

/** Up to this many clients are drawn separately; more are drawn as one. */
const MAX_DRAWN = 4;
const ROW = 44;
const WIDTH = 600;

/** How clients reach an agent, as a drawing and in words. */
export function Connection({
  agentId,
  agentName,
}: {
  readonly agentId: string;
  readonly agentName: string;
}): JSX.Element {
  const reported = useAgentNetwork(agentId).data.value;
  const network = reported === undefined ? undefined : withKnownPaths(reported);
  const heading = useId();
  return (
    <section aria-labelledby={heading}>
      <h3 id={heading}>Connection</h3>
      {network === undefined ? (
        <p class="quiet">One moment…</p>
      ) : (
        <>
          <Graph network={network} agentName={agentName} />
          <p class="small-text">{inWords(network)}</p>
          <Reasons agentId={agentId} relayed={network.connections.relayed > 0 && network.connections.direct === 0} />
          {network.clients.length === 0 ? null : <Details network={network} />}
          <details>
            <summary>Over time</summary>
            <History of={agentId} load={(range, signal) => agentHistory(agentId, range, signal)} withLatency />
          </details>
        </>
      )}
    </section>
  );
}

function withKnownPaths(network: AgentNetwork): AgentNetwork {
  const clients = network.clients.map((client) => ({ ...client, path: knownPath(client, network.connections) }));
  return { ...network, clients };
}

function Graph({ network, agentName }: { readonly network: AgentNetwork; readonly agentName: string }): JSX.Element {
  const drawn = network.clients.slice(0, MAX_DRAWN);
  const more = network.clients.length - drawn.length;
  const rows = Math.max(1, drawn.length + (more > 0 ? 1 : 0));
  const height = 32 + rows * ROW;
  const middle = height / 2;
  const y = (row: number): number => 16 + ROW / 2 + row * ROW;
  return (
    <svg class="graph" viewBox={`0 0 ${WIDTH} ${height}`} role="img" aria-label={inWords(network)}>
      {drawn.map((client, row) => (
        <Edge key={row} client={client} fromY={y(row)} toY={middle} />
      ))}
      {more > 0 ? (
        <text x="60" y={y(drawn.length) + 4} class="label" text-anchor="middle">
          and {more} more
        </text>
      ) : null}
      {network.clients.length === 0 ? (
        <text x="60" y={middle + 4} class="label" text-anchor="middle">
          no clients
        </text>
      ) : null}
      <g>
        <rect x={WIDTH - 130} y={middle - 18} width="120" height="36" rx="6" class="node agent-node" />
        <text x={WIDTH - 70} y={middle + 4} text-anchor="middle" class="node-text">
          {agentName.length > 14 ? `${agentName.slice(0, 13)}…` : agentName}
        </text>
      </g>
    </svg>
  );
}

function Edge({
  client,
  fromY,
  toY,
}: {
  readonly client: Client;
  readonly fromY: number;
  readonly toY: number;
}): JSX.Element {
  const [x1, x2] = [110, WIDTH - 130];
  const mid = (x1 + x2) / 2;
  return (
    <g>
      <path class={`edge ${client.path}`} d={`M${x1} ${fromY} C${mid} ${fromY} ${mid} ${toY} ${x2} ${toY}`} />
      <rect x="10" y={fromY - 14} width="100" height="28" rx="6" class="node" />
      <text x="60" y={fromY + 4} text-anchor="middle" class="node-text">
        client
      </text>
      <text x={x1 + 12} y={fromY - 6} class="label">
        {edgeLabel(client)}
      </text>
    </g>
  );
}

const ENDPOINTS: Readonly<Record<string, string>> = {
  private: "local network",
  "link-local": "local network",
  loopback: "this machine",
  "public IPv4": "public IPv4",
  "public IPv6": "public IPv6",
};

function edgeLabel({ path, endpoint, latency_ms: latency, home_region_name: region }: Client): string {
  const parts = [
    path === "direct"
      ? "direct"
      : path === "relayed"
        ? `relayed${region === undefined ? "" : ` via ${region}`}`
        : "path unknown",
    path === "direct" && endpoint !== undefined ? (ENDPOINTS[endpoint] ?? endpoint) : undefined,
    latency === undefined ? undefined : milliseconds(latency),
  ];
  return parts.filter((part) => part !== undefined).join(" · ");
}

function inWords({ connections, home, median_latency_ms: median, clients }: AgentNetwork): string {
  const { direct, relayed, unknown } = connections;
  const relay =
    home === null
      ? "The agent has not chosen a relay yet."
      : `Its relay is ${home.region_name}${home.latency_ms === undefined ? "" : `, ${milliseconds(home.latency_ms)} away`}.`;
  if (direct + relayed + unknown === 0 && clients.length === 0) return `No client is connected. ${relay}`;
  const parts = [
    direct > 0 ? `${count(direct, "client")} directly` : undefined,
    relayed > 0 ? `${count(relayed, "client")} through a relay` : undefined,
    unknown > 0 ? `${count(unknown, "client")} by a path that is not known yet` : undefined,
  ].filter((part) => part !== undefined);
  const latency = median === undefined ? "" : `, median round trip ${milliseconds(median)}`;
  return `Connected: ${parts.join(", ")}${latency}. ${relay}`;
}

function Details({ network }: { readonly network: AgentNetwork }): JSX.Element {
  return (
    <details>
      <summary>As a table</summary>
      <table class="list compact">
        <thead>
          <tr>
            <th scope="col">Client</th>
            <th scope="col">Path</th>
            <th scope="col">Endpoint</th>
            <th scope="col">Round trip</th>
            <th scope="col">Its relay</th>
          </tr>
        </thead>
        <tbody>
          {network.clients.map((client, index) => (
            <tr key={index}>
              <th scope="row">{index + 1}</th>
              <td data-label="Path">{client.path}</td>
              <td data-label="Endpoint">{client.endpoint ?? "–"}</td>
              <td data-label="Round trip">{client.latency_ms === undefined ? "–" : milliseconds(client.latency_ms)}</td>
              <td data-label="Its relay">{client.home_region_name ?? "–"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
