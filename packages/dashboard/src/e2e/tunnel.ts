/**
 * The worker's tunnel to the agent: a WireGuard peer that connects through the relay's WebSocket. Made with the terminal's first
 * attempt, used by later ones, and made again after it was dropped.
 */
import type { BrowserWorkspace } from "coder-client/browser";
import { HTTP_API_PORT } from "coder-protocol/tunnel-ports";
import type { TunnelView } from "./messages.ts";

const ANSWER_MS = 5_000;
const STATUS_EVERY_MS = 10_000;
const MAX_REASON_LENGTH = 300;
/** A browser does not report why a WebSocket was refused; this limit of the deployment is a possible cause. */
const LIMIT = "If eight end-to-end terminals of yours are open, close one.";

export type TunnelWorkspace = Pick<BrowserWorkspace, "dial" | "fetch" | "ping" | "wake" | "ends" | "close">;

export interface Tunnel {
  readonly workspace: TunnelWorkspace;
  /** The agent sends terminal output in records. */
  readonly framed: boolean;
  readonly stopStatus: () => void;
}

export interface TunnelEvents {
  show(view: TunnelView): void;
  /** The agent answered an echo request. */
  answered(): void;
}

export class AgentTunnel {
  readonly #connect: (agentId: string) => Promise<TunnelWorkspace>;
  readonly #events: TunnelEvents;
  #current: Promise<Tunnel> | undefined;

  constructor(connect: (agentId: string) => Promise<TunnelWorkspace>, events: TunnelEvents) {
    this.#connect = connect;
    this.#events = events;
  }

  /** The present tunnel, otherwise a new one. A failure is shown, and the next call tries again. */
  ready(agentId: string): Promise<Tunnel> {
    if (this.#current !== undefined) return this.#current;
    const made: Promise<Tunnel> = this.#make(agentId).catch((error: unknown) => {
      if (this.#current === made) this.#current = undefined;
      const final = (error as { code?: unknown }).code === "ERR_BROWSER_ONLY";
      const reason = final ? reasonOf(error) : `${reasonOf(error)}. ${LIMIT}`;
      this.#events.show({ kind: "failed", reason, final });
      throw error;
    });
    this.#current = made;
    return made;
  }

  drop(): void {
    const old = this.#current;
    this.#current = undefined;
    void old
      ?.then(({ workspace, stopStatus }) => {
        stopStatus();
        return workspace.close();
      })
      .catch(() => undefined); // there never was a tunnel, and its failure has been shown
  }

  /** The page is visible again, and timers ran late while it was hidden. */
  wake(): void {
    void this.#current?.then(({ workspace }) => workspace.wake()).catch(() => undefined); // its failure has been shown
  }

  async #make(agentId: string): Promise<Tunnel> {
    this.#events.show({ kind: "connecting" });
    const workspace = await this.#connect(agentId);
    try {
      const framed = await speaksRecords(workspace);
      return { workspace, framed, stopStatus: reportStatus(workspace, this.#events) };
    } catch (error) {
      await workspace.close();
      throw error;
    }
  }
}

/** Agents without support for records answer 404. */
async function speaksRecords(workspace: TunnelWorkspace): Promise<boolean> {
  const signal = AbortSignal.timeout(ANSWER_MS);
  const answer = await workspace.fetch(HTTP_API_PORT, "/api/v0/capabilities", { signal });
  if (!answer.ok) return false;
  const body = (await answer.json()) as { terminal_framing?: unknown } | null;
  return body?.terminal_framing === 1;
}

/**
 * Reports the tunnel after each answered echo request.
 * @returns A function that stops it.
 */
function reportStatus(workspace: TunnelWorkspace, events: TunnelEvents): () => void {
  let stopped = false;
  const report = async (): Promise<void> => {
    const latencyMs = await workspace.ping(AbortSignal.timeout(ANSWER_MS)).catch(() => undefined);
    if (stopped || latencyMs === undefined) return;
    const { own, agent, region } = workspace.ends;
    const keys = { ownKey: hex(own), agentKey: agent === undefined ? "" : hex(agent) };
    events.show({ kind: "up", region, latencyMs, ...keys });
    events.answered();
  };
  void report();
  const timer = setInterval(() => void report(), STATUS_EVERY_MS);
  return () => {
    stopped = true;
    clearInterval(timer);
  };
}

/** What went wrong, in one sentence without a full stop. */
export function reasonOf(error: unknown): string {
  const { message, detail } = error as { message?: unknown; detail?: unknown };
  const text = typeof message === "string" ? message : String(error);
  const more = typeof detail === "string" ? ` (${detail})` : "";
  return `${text}${more}`.slice(0, MAX_REASON_LENGTH);
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
