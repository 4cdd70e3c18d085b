import { BaseCommand } from "../base-command.ts";
import { AGENT_FLAGS } from "../flags/agent.ts";
import type { ParsedLine } from "../flags/parse.ts";

export default class Agent extends BaseCommand {
  static override summary = "Run the agent of a workspace, on the workspace's machine";
  static override examples = ["CODER_AGENT_URL=https://coder.example.com CODER_AGENT_TOKEN=… <%= config.bin %> agent"];
  static override specs = AGENT_FLAGS;
  static override isService = true;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<number> {
    const { runAgentCommand } = await import("../services/agent.ts");
    return runAgentCommand(line.values, signal);
  }
}
