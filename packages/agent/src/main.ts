import { Agent } from "./agent.ts";
import type { AgentOptions } from "./agent-options.ts";

/** Runs an agent until the signal ends it. Rejects with what the control plane refused it for. */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  await new Agent(options).run(signal);
}
