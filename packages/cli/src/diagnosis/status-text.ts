/** What `coder status` prints. Pure. */
import type { CandidateReport, PathRef, PeerPathReport } from "coder-client/path-report";
import { renderTable } from "../ui/table.ts";
import { pathSentence } from "./doctor-text.ts";
import { formatDuration } from "./durations.ts";

/** A running connection of this machine, as its process tells it. */
export interface OpenConnection {
  readonly pid: number;
  readonly workspace: string;
  readonly command: string;
  readonly startedAt: string;
  readonly path: PathRef | null;
  readonly rttMs: number | null;
  readonly mtu: number;
  readonly rxBytes: number;
  readonly txBytes: number;
}

export function connectionsTable(connections: readonly OpenConnection[], nowMs: number): string {
  if (connections.length === 0) return "No connection is open on this machine.\n";
  return renderTable(
    ["WORKSPACE", "PATH", "ROUND TRIP", "PACKETS", "RECEIVED", "SENT", "SINCE", "COMMAND", "PID"],
    connections.map((one) => [
      one.workspace,
      pathText(one.path),
      one.rttMs === null ? "" : formatDuration(one.rttMs),
      String(one.mtu),
      bytesText(one.rxBytes),
      bytesText(one.txBytes),
      formatDuration(1000 * Math.max(0, Math.round((nowMs - Date.parse(one.startedAt)) / 1000))),
      one.command,
      String(one.pid),
    ]),
  );
}

function pathText(path: PathRef | null): string {
  if (path === null) return "none";
  return path.kind === "direct" ? `direct ${path.endpoint}` : `relayed ${path.region.name}`;
}

function bytesText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = bytes / 1024;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${value.toFixed(1)} ${units[unit]}`;
}

const ORDER = ["in-use", "usable", "lost", "no-answer", "untried"];

/** One workspace: the path, both relays, every candidate and why it is used or not. */
export function workspaceStatus(report: PeerPathReport): string {
  const region = (one: PeerPathReport["ownRegion"]): string => (one === undefined ? "none" : `${one.name} (${one.id})`);
  const candidates = [...report.candidates].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state));
  const lines = [
    pathSentence(report),
    `Relays: ours ${region(report.ownRegion)}, the workspace's ${region(report.peerRegion)}${report.relayRttMs === undefined ? "" : `, ${formatDuration(report.relayRttMs)} there and back`}`,
    `Packets: up to ${report.mtu} bytes; received ${bytesText(report.rxBytes)}, sent ${bytesText(report.txBytes)}`,
    `Our addresses: ${report.ownEndpoints.join(", ") || "none"}`,
    "",
  ];
  const table =
    candidates.length === 0
      ? "No address of the workspace is known.\n"
      : renderTable(["ADDRESS", "STATE", "ROUND TRIP", "LOSS", "CARRIES", "FROM", "WHY"], candidates.map(candidateRow));
  return `${lines.join("\n")}\n${table}`;
}

function candidateRow(one: CandidateReport): string[] {
  return [
    one.endpoint,
    one.state,
    one.rttMs === undefined ? "" : formatDuration(one.rttMs),
    one.loss === undefined ? "" : `${Math.round(100 * one.loss)} %`,
    one.mtu === undefined ? "" : String(one.mtu),
    one.sources.join(", "),
    one.reason,
  ];
}
