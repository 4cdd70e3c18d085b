/** The debug pages for a browser: plain tables without style and script. */
import type { CoordinatorDebug, PeerDebug, TailnetDebug } from "../../control/debug.ts";

/** Maximum number of rows in one table; a longer table is truncated with a note. */
const MAX_ROWS = 2_000;

export function coordinatorPage(debug: CoordinatorDebug): string {
  const peer = (one: PeerDebug): string[] => [
    one.name ?? one.id,
    one.name === undefined ? "" : one.id,
    duration(one.connected_for_ms),
    one.node_age_ms === undefined ? "no node" : duration(one.node_age_ms),
    one.node?.home_region_name ?? "",
    one.node?.endpoints.join(" ") ?? "",
    one.node?.key ?? "",
  ];
  const columns = ["peer", "id", "connected for", "node age", "home relay", "endpoints", "key"];
  return page("Coordinator", [
    `<p>${debug.sockets} open control connections. <a href="tailnet">Paths of the connections</a></p>`,
    table(`Agents (${debug.agents.length})`, columns, debug.agents.map(peer)),
    table(`Clients (${debug.clients.length})`, columns, debug.clients.map(peer)),
    table(
      `Tunnels (${debug.tunnels.length})`,
      ["from", "to", "destination"],
      debug.tunnels.map((tunnel) => [tunnel.from, tunnel.to, tunnel.connected ? "connected" : "not connected"]),
    ),
  ]);
}

export function tailnetPage(debug: TailnetDebug): string {
  return page("Connections", [
    `<p><a href="coordinator">Coordinator</a></p>`,
    table(
      `Agents (${debug.agents.length})`,
      ["agent", "id", "connections", "direct", "relayed", "median latency", "report age"],
      debug.agents.map((agent) => [
        agent.name ?? "",
        agent.id,
        text(agent.connections),
        text(agent.direct),
        text(agent.relayed),
        milliseconds(agent.median_latency_ms),
        agent.report_age_ms === null ? "no report" : duration(agent.report_age_ms),
      ]),
    ),
    table(
      `Connections (${debug.connections.length})`,
      ["client", "agent", "path", "endpoint", "latency", "home relay", "application", "version", "report age"],
      debug.connections.map((connection) => [
        connection.client,
        connection.agent,
        connection.path,
        text(connection.endpoint),
        milliseconds(connection.latency_ms),
        text(connection.home_region_name),
        text(connection.application),
        text(connection.client_version),
        connection.report_age_ms === null ? "no report" : duration(connection.report_age_ms),
      ]),
    ),
    `<h2>Relay map</h2><pre>${escapeHtml(JSON.stringify(debug.relay_map, null, 2))}</pre>`,
  ]);
}

function page(title: string, parts: readonly string[]): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title></head><body><h1>${title}</h1>${parts.join("")}</body></html>\n`;
}

function table(title: string, columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const head = columns.map((column) => `<th>${escapeHtml(column)}</th>`).join("");
  const body = rows
    .slice(0, MAX_ROWS)
    .map((row) => `<tr>${row.map((cell) => `<td>${escapeHtml(cell)}</td>`).join("")}</tr>`)
    .join("");
  const cut = rows.length > MAX_ROWS ? `<p>The first ${MAX_ROWS} of ${rows.length}.</p>` : "";
  return `<h2>${escapeHtml(title)}</h2>${cut}<table border="1"><tr>${head}</tr>${body}</table>`;
}

/** Peers choose some of these texts. */
function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function text(value: string | number | null): string {
  return value === null ? "" : String(value);
}

function milliseconds(value: number | null): string {
  return value === null ? "" : `${value.toFixed(1)} ms`;
}

function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
