import type { AgentLogRow } from "../db/schema.ts";

/** A change that watchers may want to know of. Published after it is durable. */
export type Change =
  | { readonly kind: "workspace"; readonly workspaceId: string }
  | { readonly kind: "agent-logs"; readonly agentId: string; readonly logs: readonly AgentLogRow[] }
  | { readonly kind: "agent-metadata"; readonly agentId: string }
  /** The user's name or settings changed. */
  | { readonly kind: "user"; readonly userId: string }
  /** A workspace proxy was created, changed or deleted, or its health changed. */
  | { readonly kind: "workspace-proxies" }
  /** The deployment's rule about browsers changed, and with it the view of every workspace. */
  | { readonly kind: "connection-rule" };

/** Listeners for every change; no topic has this name. */
const EVERY = "";

/** Wakes the watchers of workspaces and logs within this process. */
export class Changes {
  readonly #listeners = new Map<string, Set<(change: Change) => void>>();

  /**
   * Listens for one workspace (`workspace:<id>`), all of them (`workspaces`), one agent's logs (`agent-logs:<id>`) or its
   * metadata (`agent-metadata:<id>`), one user (`user:<id>`), the workspace proxies (`workspace-proxies`), or the
   * deployment's rule about browsers (`connection-rule`). Returns a function that removes the listener.
   */
  subscribe(topic: string, listener: (change: Change) => void): () => void {
    const entry = (change: Change): void => listener(change);
    const listeners = this.#listeners.get(topic) ?? new Set();
    listeners.add(entry);
    this.#listeners.set(topic, listeners);
    return () => {
      listeners.delete(entry);
      if (listeners.size === 0 && this.#listeners.get(topic) === listeners) this.#listeners.delete(topic);
    };
  }

  /** Whether a listener waits for changes of this topic. */
  isWatched(topic: string): boolean {
    return this.#listeners.has(topic);
  }

  /** Listens for every change. Returns a function that removes the listener. */
  subscribeAll(listener: (change: Change) => void): () => void {
    return this.subscribe(EVERY, listener);
  }

  publish(change: Change): void {
    for (const listener of [...(this.#listeners.get(EVERY) ?? [])]) listener(change);
    for (const topic of this.#topicsOf(change))
      for (const listener of [...(this.#listeners.get(topic) ?? [])]) listener(change);
  }

  get topicCount(): number {
    return this.#listeners.size;
  }

  #topicsOfWorkspaces(): string[] {
    return [...this.#listeners.keys()].filter((topic) => topic === "workspaces" || topic.startsWith("workspace:"));
  }

  #topicsOf(change: Change): readonly string[] {
    switch (change.kind) {
      case "workspace":
        return [`workspace:${change.workspaceId}`, "workspaces"];
      case "user":
        return [`user:${change.userId}`];
      case "workspace-proxies":
        return [change.kind];
      case "connection-rule":
        return [change.kind, ...this.#topicsOfWorkspaces()];
      default:
        return [`${change.kind}:${change.agentId}`];
    }
  }
}
