/** What `coder status` prints. Pure. */

import { formatDuration } from "coder-client/diagnosis/durations";
import type { CandidateReport, PathRef, PeerPathReport } from "coder-client/node/path-report";
import { displayWidth, printable, wrapWords } from "../base/text.ts";
import type { Paint } from "../ui/paint.ts";
import { renderTable } from "../ui/table.ts";
import { pathSentence } from "./doctor-text.ts";

/** A running connection of this machine, as its process reports it. */
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

/** How the view is drawn: its width and its colours. */
export interface View {
  readonly columns: number;
  readonly paint: Paint;
}

export function connectionsTable(connections: readonly OpenConnection[], nowMs: number, view: View): string {
  if (connections.length === 0) {
    return "No connection is open on this machine.\nTo see the paths to a workspace: coder status <workspace>\n";
  }
  const rows = connections.map((one) => [
    one.workspace,
    pathText(one.path),
    one.rttMs === null ? "" : formatDuration(one.rttMs),
    String(one.mtu),
    bytesText(one.rxBytes),
    bytesText(one.txBytes),
    formatDuration(1000 * Math.max(0, Math.round((nowMs - Date.parse(one.startedAt)) / 1000))),
    one.command,
    String(one.pid),
  ]);
  const headers = ["WORKSPACE", "PATH", "ROUND TRIP", "PACKETS", "RECEIVED", "SENT", "SINCE", "COMMAND", "PID"];
  const paint = (cell: string, column: number): string =>
    column === 1 ? (cell.startsWith("direct") ? view.paint.good : view.paint.bad)(cell) : cell;
  return fitted(headers, rows, FIRST_TO_GO, view, paint);
}

/** Columns that a narrow terminal leaves out, the least important first. */
const FIRST_TO_GO = ["PACKETS", "PID", "SINCE", "SENT", "RECEIVED", "COMMAND"];

/** A table no wider than the view: whole columns are dropped, and no cell is cut. */
function fitted(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
  firstToGo: readonly string[],
  view: View,
  paint: (cell: string, column: number) => string,
): string {
  let kept = headers.map((_, column) => column);
  const draw = (): string =>
    renderTable(
      kept.map((column) => headers[column]!),
      rows.map((row) => kept.map((column) => row[column]!)),
      { paint: (cell, index) => paint(cell, kept[index]!) },
    );
  for (const name of firstToGo) {
    if (
      draw()
        .split("\n")
        .every((line) => displayWidth(line) <= view.columns)
    )
      break;
    kept = kept.filter((column) => headers[column] !== name);
  }
  return draw();
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

const ORDER = ["in-use", "worse-than-relay", "usable", "held-off", "lost", "no-answer", "untried"];

/** The status of one workspace: the path, both relays, every candidate and, below each, why it is used or not. */
export function workspaceStatus(report: PeerPathReport, view: View): string {
  const region = (one: PeerPathReport["ownRegion"]): string => (one === undefined ? "none" : `${one.name} (${one.id})`);
  const candidates = [...report.candidates].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state));
  const sentence = pathSentence(report);
  const [first = "", ...more] = wrapWords(printable(sentence), view.columns);
  const facts = [
    `Relays: ours ${region(report.ownRegion)}, the workspace's ${region(report.peerRegion)}${report.relayRttMs === undefined ? "" : `, ${formatDuration(report.relayRttMs)} there and back`}`,
    `Packets: up to ${report.mtu} bytes; received ${bytesText(report.rxBytes)}, sent ${bytesText(report.txBytes)}`,
    `Our addresses: ${report.ownEndpoints.join(", ") || "none"}`,
  ];
  const colour = report.path?.kind === "direct" ? view.paint.good : view.paint.bad;
  const head = [...[first, ...more].map(colour), ...facts.flatMap((fact) => indented(printable(fact), view.columns))];
  if (candidates.length === 0) return `${head.join("\n")}\n\nNo address of the workspace is known.\n`;
  const headers = ["ADDRESS", "STATE", "ROUND TRIP", "LOSS", "CARRIES", "FROM"];
  const table = fitted(headers, candidates.map(candidateRow), ["FROM", "CARRIES", "LOSS"], view, (cell, column) =>
    column === 1 ? stateColour(cell, view.paint)(cell) : cell,
  );
  const [titles, ...rows] = table.trimEnd().split("\n");
  const lines = rows.flatMap((row, index) => [
    row,
    ...wrapWords(printable(candidates[index]!.reason), view.columns - 2)
      .filter((text) => text !== "")
      .map((text) => view.paint.faint(`  ${text}`)),
  ]);
  return `${[...head, "", titles, ...lines].join("\n")}\n`;
}

/** Further lines of a fact are indented to its first words. */
function indented(text: string, columns: number): string[] {
  const [first = "", ...more] = wrapWords(text, columns);
  return [first, ...wrapWords(more.join(" "), columns - 2).flatMap((line) => (line === "" ? [] : [`  ${line}`]))];
}

function stateColour(state: string, paint: Paint): (text: string) => string {
  if (state === "in-use" || state === "usable") return paint.good;
  return state === "untried" ? paint.faint : paint.bad;
}

function candidateRow(one: CandidateReport): string[] {
  return [
    one.endpoint,
    one.state,
    one.rttMs === undefined ? "" : formatDuration(one.rttMs),
    one.loss === undefined ? "" : `${Math.round(100 * one.loss)} %`,
    one.mtu === undefined ? "" : String(one.mtu),
    one.sources.join(", "),
  ];
}
