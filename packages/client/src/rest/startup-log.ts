/** The lines that startup scripts print, as they arrive. */
import type { RestApi } from "./api.ts";

const MAX_LINE_CHARS = 4096;

export class StartupLog {
  readonly #deployment: RestApi;
  readonly #agentId: string;
  #after = 0;

  constructor(deployment: RestApi, agentId: string) {
    this.#deployment = deployment;
    this.#agentId = agentId;
  }

  /** The lines since the last call. They are not made safe for a terminal. Rejects like any call. */
  async next(signal: AbortSignal): Promise<string[]> {
    const logs = await this.#deployment.call(`/api/v2/workspaceagents/${this.#agentId}/logs`, {
      query: { after: String(this.#after) },
      signal,
    });
    if (!Array.isArray(logs)) return [];
    const lines: string[] = [];
    for (const { id, output } of logs as { id?: unknown; output?: unknown }[]) {
      if (typeof id !== "number" || typeof output !== "string" || id <= this.#after) continue;
      this.#after = id;
      lines.push(output.slice(0, MAX_LINE_CHARS));
    }
    return lines;
  }
}
