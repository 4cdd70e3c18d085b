/** The page around a terminal's connection: time, visibility, the network, and ordinary requests to the deployment. */
import { ApiError } from "../api/client.ts";
import { agentById } from "../api/workspaces.ts";
import { localPage } from "../session/session.ts";
import type { Cause, Surroundings } from "./terminal-connection.ts";

export const PAGE: Surroundings = {
  now: () => performance.now(),
  random: () => Math.random(),
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
  visible: () => document.visibilityState === "visible",
  onReturn: (callback, life) => {
    addEventListener("online", callback, { signal: life });
    addEventListener("pageshow", callback, { signal: life });
    document.addEventListener("visibilitychange", callback, { signal: life });
  },
  findCause,
};

/** A page cannot see why an upgrade was refused or a connection was lost, so an ordinary request finds out. */
async function findCause(agentId: string, givenUp: AbortSignal): Promise<Cause> {
  try {
    const agent = await agentById(agentId, givenUp);
    if (agent.status !== "disconnected" && agent.status !== "timeout") return { kind: "unknown", reason: "" };
    const since = agent.disconnected_at === undefined ? "" : ` since ${clockTime(agent.disconnected_at)}`;
    return { kind: "unknown", reason: `The workspace is offline${since}.` };
  } catch (error) {
    if (givenUp.aborted) throw error;
    const status = error instanceof ApiError ? error.status : undefined;
    if (status === 401) return { kind: "denied" };
    // A local page knows a new agent only once its command is connected to it; the end of the right comes with its own code.
    if (status === 404 && localPage.value === undefined) return { kind: "gone" };
    if (status === 0 && localPage.value !== undefined)
      return { kind: "unknown", reason: "The command that serves this page does not answer; it may have ended." };
    // There may also be no answer in time, or a proxy's page instead; the connection is then tried again.
    return { kind: "unknown", reason: "" };
  }
}

function clockTime(at: string): string {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}
