/** The proxies of the deployment as this server knows them: kept in memory, and read again when one has changed. */
import type { Logger } from "../base/log.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";
import type { WorkspaceProxies } from "../db/workspace-proxies.ts";
import type { Changes } from "../workspaces/changes.ts";

export interface ProxyDirectoryOptions {
  readonly proxies: Pick<WorkspaceProxies, "all">;
  readonly changes: Changes;
  readonly log: Pick<Logger, "info" | "error">;
}

export class ProxyDirectory {
  readonly #options: ProxyDirectoryOptions;
  readonly #listeners = new Set<() => void>();
  readonly #stop: () => void;
  #rows: readonly WorkspaceProxyRow[] = [];
  #reading: Promise<void> | undefined;
  /** Something changed while the rows were being read. */
  #again = false;
  #isCurrent = true;

  constructor(options: ProxyDirectoryOptions) {
    this.#options = options;
    this.#stop = options.changes.subscribe("workspace-proxies", () => void this.refresh());
  }

  /** Reads them for the first time. Rejects if the database does not answer. */
  async open(): Promise<void> {
    this.#rows = await this.#options.proxies.all();
  }

  /** All proxies that are not deleted, by name. */
  get all(): readonly WorkspaceProxyRow[] {
    return this.#rows;
  }

  /** The proxies whose region belongs in the relay map. */
  get inMap(): readonly WorkspaceProxyRow[] {
    return this.#rows.filter((row) => row.in_map === 1 && row.derp_enabled === 1);
  }

  /** Whether the last read succeeded. */
  get isCurrent(): boolean {
    return this.#isCurrent;
  }

  /** Calls back after the rows were read again. Returns a function that removes the listener. */
  onChange(listener: () => void): () => void {
    const entry = (): void => listener();
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  /** A proxy was changed here: when the promise resolves, everything that depends on it has been updated. */
  async changed(): Promise<void> {
    this.#options.changes.publish({ kind: "workspace-proxies" });
    await this.#reading;
  }

  /** Reads the rows again. On failure they stay as they are; never rejects. */
  refresh(): Promise<void> {
    this.#again = true;
    this.#reading ??= this.#read();
    return this.#reading;
  }

  async close(): Promise<void> {
    this.#stop();
    this.#listeners.clear();
    await this.#reading;
  }

  async #read(): Promise<void> {
    try {
      while (this.#again) {
        this.#again = false;
        await this.#readOnce();
      }
    } finally {
      // Set in the same turn in which `#again` is read: a request from here on starts another read.
      this.#reading = undefined;
    }
  }

  async #readOnce(): Promise<void> {
    try {
      this.#rows = await this.#options.proxies.all();
    } catch (error) {
      if (this.#isCurrent) this.#options.log.error({ err: error }, "the workspace proxies were not read");
      this.#isCurrent = false;
      return;
    }
    if (!this.#isCurrent) this.#options.log.info("the workspace proxies are read again");
    this.#isCurrent = true;
    for (const listener of [...this.#listeners]) listener();
  }
}
