import { Agent } from "./agent.ts";
import type { AgentOptions } from "./agent-options.ts";

/** Runs an agent until the signal ends it. Rejects with the reason when the control plane refuses it. */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  await new Agent(options).run(signal);
}
