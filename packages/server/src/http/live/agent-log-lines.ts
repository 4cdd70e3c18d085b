import type { AgentLogs } from "../../db/agent-logs.ts";
import type { Changes } from "../../workspaces/changes.ts";
import { agentLogView } from "../views/agents.ts";
import type { Entries } from "./entries.ts";
import type { FeedSource } from "./feed.ts";

/** Only the latest lines, since a page shows no more. */
const MAX_LINES = 2_000;
const LINES_PER_READ = 1_000;

/** The log lines of an agent after a given line, by their ids. */
export class AgentLogLines implements FeedSource {
  readonly #logs: AgentLogs;
  readonly #changes: Changes;
  readonly #agentId: string;
  readonly #lines = new Map<string, string>();
  #last: number;

  constructor(options: { logs: AgentLogs; changes: Changes; agentId: string; after: number }) {
    this.#logs = options.logs;
    this.#changes = options.changes;
    this.#agentId = options.agentId;
    this.#last = options.after;
  }

  watch(changed: () => void): () => void {
    return this.#changes.subscribe(`agent-logs:${this.#agentId}`, changed);
  }

  async read(): Promise<Entries> {
    for (;;) {
      const page = await this.#logs.list(this.#agentId, { after: this.#last, limit: LINES_PER_READ });
      for (const line of page) this.#lines.set(String(line.id), JSON.stringify(agentLogView(line)));
      this.#last = page.at(-1)?.id ?? this.#last;
      for (const id of this.#lines.keys()) {
        if (this.#lines.size <= MAX_LINES) break;
        this.#lines.delete(id);
      }
      if (page.length < LINES_PER_READ) return new Map(this.#lines);
    }
  }
}
