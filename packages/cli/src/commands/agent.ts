import { BaseCommand } from "../base-command.ts";
import type { ParsedLine } from "../flags/parse.ts";
import type { FlagSpec } from "../flags/spec.ts";

const FLAGS: readonly FlagSpec[] = [
  {
    name: "auth",
    env: "CODER_AGENT_AUTH",
    kind: "string",
    options: ["token"],
    default: "token",
    summary: "How the agent identifies itself",
  },
  {
    name: "agent-url",
    env: "CODER_AGENT_URL",
    kind: "string",
    value: "url",
    summary: "Deployment the agent connects to",
  },
  {
    name: "agent-token",
    env: "CODER_AGENT_TOKEN",
    kind: "string",
    value: "token",
    summary: "The agent's token; better given by its variable",
  },
  {
    name: "agent-token-file",
    env: "CODER_AGENT_TOKEN_FILE",
    kind: "string",
    value: "file",
    summary: "File that holds the agent's token",
  },
  {
    name: "agent-header",
    env: "CODER_AGENT_HEADER",
    kind: "list",
    value: "key=value",
    summary: "Extra header for every request, WebSocket and relay connection",
  },
  {
    name: "agent-header-command",
    env: "CODER_AGENT_HEADER_COMMAND",
    kind: "string",
    value: "command",
    summary: "Program that prints extra headers",
  },
  {
    name: "tailnet-listen-port",
    env: "CODER_AGENT_TAILNET_LISTEN_PORT",
    kind: "integer",
    value: "port",
    default: "0",
    summary: "UDP port for direct connections; 0 for any",
  },
  {
    name: "ssh-max-timeout",
    env: "CODER_AGENT_SSH_MAX_TIMEOUT",
    kind: "duration",
    default: "72h",
    summary: "How long a session outlives a client that does not answer",
  },
  {
    name: "block-file-transfer",
    env: "CODER_AGENT_BLOCK_FILE_TRANSFER",
    kind: "boolean",
    summary: "Refuse nc, rsync, scp and sftp",
  },
  {
    name: "log-dir",
    env: "CODER_AGENT_LOG_DIR",
    kind: "string",
    value: "folder",
    summary: "Folder for the log files of the agent and of scripts; without, the agent's log goes to stderr",
  },
  {
    name: "debug-address",
    env: "CODER_AGENT_DEBUG_ADDRESS",
    kind: "string",
    value: "host:port",
    summary: "Serve the debug pages on this address as well, such as 127.0.0.1:2113",
  },
  {
    name: "prometheus-address",
    env: "CODER_AGENT_PROMETHEUS_ADDRESS",
    kind: "string",
    value: "host:port",
    summary: "Serve metrics on this address, such as 127.0.0.1:2112",
  },
  {
    name: "pprof-address",
    env: "CODER_AGENT_PPROF_ADDRESS",
    kind: "string",
    value: "host:port",
    summary: "Accepted for compatibility: this agent has no pprof profiles",
  },
  {
    name: "no-reap",
    kind: "boolean",
    summary: "As process 1 of a container, do not reap processes that lost their parent",
  },
];

export default class Agent extends BaseCommand {
  static override summary = "Run the agent of a workspace, on the workspace's machine";
  static override examples = ["CODER_AGENT_URL=https://coder.example.com CODER_AGENT_TOKEN=… <%= config.bin %> agent"];
  static override specs = FLAGS;
  static override isService = true;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<number> {
    const { runAgentCommand } = await import("../services/agent.ts");
    return runAgentCommand(line.values, signal);
  }
}
