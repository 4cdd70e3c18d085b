/**
 * The worker's tunnel to the agent: a WireGuard peer that connects through the relay's WebSocket. Made with the terminal's first
 * attempt, used by later ones, and made again after it was dropped.
 */
import type { BrowserWorkspace } from "coder-client/browser";
import { HTTP_API_PORT } from "coder-protocol/tunnel-ports";
import { farEndOf, hex } from "./identity.ts";
import type { FarEnd, TunnelView } from "./messages.ts";

const ANSWER_MS = 5_000;
const STATUS_EVERY_MS = 10_000;
const MAX_REASON_LENGTH = 300;
/** A browser does not report why a WebSocket was refused; this limit of the deployment is a possible cause. */
const LIMIT = "If eight end-to-end terminals of yours are open, close one.";

export type TunnelWorkspace = Pick<BrowserWorkspace, "dial" | "fetch" | "hold" | "ping" | "wake" | "ends" | "close">;

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
  /** Resolves once this far end may be given a terminal. Rejects with the signal's reason. */
  trusted(agentId: string, end: FarEnd, signal: AbortSignal): Promise<void>;
}

export class AgentTunnel {
  readonly #connect: (agentId: string) => Promise<TunnelWorkspace>;
  readonly #events: TunnelEvents;
  #current: Promise<Tunnel> | undefined;
  #life = new AbortController();

  constructor(connect: (agentId: string) => Promise<TunnelWorkspace>, events: TunnelEvents) {
    this.#connect = connect;
    this.#events = events;
  }

  /** The present tunnel, otherwise a new one. A failure is shown, and the next call tries again. */
  ready(agentId: string): Promise<Tunnel> {
    if (this.#current !== undefined) return this.#current;
    this.#life = new AbortController();
    const { signal } = this.#life;
    const made: Promise<Tunnel> = this.#make(agentId, signal).catch((error: unknown) => {
      if (this.#current === made) this.#current = undefined;
      if (signal.aborted) throw error; // dropped by the page, which knows why
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
    this.#life.abort(new Error("the tunnel was dropped"));
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

  async #make(agentId: string, signal: AbortSignal): Promise<Tunnel> {
    this.#events.show({ kind: "connecting" });
    const workspace = await this.#connect(agentId);
    try {
      const nodeKey = workspace.hold();
      const [framed, end] = await Promise.all([speaksRecords(workspace), farEndOf(workspace, nodeKey)]);
      await this.#events.trusted(agentId, end, signal);
      return { workspace, framed, stopStatus: reportStatus(workspace, end, this.#events) };
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
function reportStatus(workspace: TunnelWorkspace, end: FarEnd, events: TunnelEvents): () => void {
  let stopped = false;
  const report = async (): Promise<void> => {
    const latencyMs = await workspace.ping(AbortSignal.timeout(ANSWER_MS)).catch(() => undefined);
    if (stopped || latencyMs === undefined) return;
    const { own, agent, region } = workspace.ends;
    const keys = { ownKey: hex(own), agentKey: agent === undefined ? "" : hex(agent) };
    events.show({ kind: "up", region, latencyMs, ...keys, end });
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
