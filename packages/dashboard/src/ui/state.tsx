/** States as a symbol and a word, never by colour alone. */
import type { WorkspaceListAgent } from "coder-protocol/rest/dashboard";
import type { JSX } from "preact";
import type { AgentNetwork } from "../api/workspaces.ts";
import { milliseconds } from "../base/words.ts";

export type Tone = "ok" | "warn" | "bad" | "idle";

const DISC = "M5 1a4 4 0 1 1 0 8 4 4 0 0 1 0-8z";
/** An outline, and what of it is filled. Drawn, because fonts differ in the characters that look like this. */
const GLYPHS: Readonly<Record<Tone, { readonly line: string; readonly filled: string }>> = {
  ok: { line: DISC, filled: DISC },
  warn: { line: DISC, filled: "M5 1a4 4 0 0 0 0 8z" },
  bad: { line: "M5 1 9.3 9H.7z", filled: "M5 1 9.3 9H.7z" },
  idle: { line: DISC, filled: "" },
};

export function State({ tone, children }: { readonly tone: Tone; readonly children: string }): JSX.Element {
  const { line, filled } = GLYPHS[tone];
  return (
    <span class={`state ${tone}`}>
      <svg class="state-glyph" viewBox="0 0 10 10" aria-hidden="true">
        <path d={line} />
        <path class="filled" d={filled} />
      </svg>
      {children}
    </span>
  );
}

export function agentState(agent: Pick<WorkspaceListAgent, "status" | "lifecycle_state">): {
  readonly tone: Tone;
  readonly text: string;
} {
  if (agent.status === "connecting") return { tone: "idle", text: "Waiting for the agent" };
  if (agent.status !== "connected") return { tone: "bad", text: "Offline" };
  switch (agent.lifecycle_state) {
    case "start_error":
      return { tone: "warn", text: "Startup script failed" };
    case "start_timeout":
      return { tone: "warn", text: "Startup is slow" };
    case "starting":
    case "created":
      return { tone: "warn", text: "Starting" };
    case "shutting_down":
      return { tone: "warn", text: "Shutting down" };
    default:
      return { tone: "ok", text: "Connected" };
  }
}

type PathKind = WorkspaceListAgent["path"];

const PATH_WORDS: Readonly<Record<PathKind, string>> = {
  direct: "Direct",
  relayed: "Relayed",
  mixed: "Direct and relayed",
  unknown: "Unknown",
  none: "No clients",
};

export function pathOf(network: AgentNetwork): Pick<WorkspaceListAgent, "path" | "latency_ms"> {
  const { direct, relayed, unknown } = network.connections;
  const latency_ms = network.median_latency_ms;
  if (direct > 0) return { path: relayed > 0 ? "mixed" : "direct", latency_ms };
  if (relayed > 0) return { path: "relayed", latency_ms };
  return { path: unknown > 0 ? "unknown" : "none" };
}

/** How clients reach an agent: a solid line, a dashed line, both, or none. */
export function PathBadge({ path, latency_ms: latency }: Pick<WorkspaceListAgent, "path" | "latency_ms">): JSX.Element {
  return (
    <span class={`path ${path}`}>
      <svg class="path-glyph" viewBox="0 0 24 8" aria-hidden="true">
        {path === "none" ? null : <line x1="3" x2="21" y1="4" y2="4" />}
        <circle cx="3" cy="4" r="2" />
        <circle cx="21" cy="4" r="2" />
      </svg>
      {PATH_WORDS[path]}
      {latency === undefined || path === "none" ? null : <span class="quiet"> {milliseconds(latency)}</span>}
    </span>
  );
}
