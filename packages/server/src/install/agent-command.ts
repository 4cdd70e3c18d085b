import { powershellQuote, shellQuote } from "./quoting.ts";

/** What the agent's machine was declared as; "" is the default. */
interface Machine {
  readonly operating_system: string;
  readonly architecture: string;
}

/**
 * One line that makes a machine the workspace: fetches the script of /init-script, which installs the command and starts the
 * agent. The token is passed in the environment, where other users of the machine do not see it; the leading blank keeps the line
 * out of the history of shells that are configured so (HISTCONTROL).
 */
export function agentCommand(accessUrl: URL, agent: Machine, token: string): string {
  const script = new URL(
    `/api/v2/init-script/${agent.operating_system || "linux"}/${agent.architecture || "amd64"}`,
    accessUrl,
  ).href;
  if (agent.operating_system === "windows") {
    return ` $env:CODER_AGENT_TOKEN=${powershellQuote(token)}; iwr -useb ${powershellQuote(script)} | iex`;
  }
  const url = shellQuote(script);
  const fetch = `if command -v curl >/dev/null; then curl -fsSL ${url}; else wget -qO- ${url}; fi`;
  return ` ${fetch} | CODER_AGENT_TOKEN=${shellQuote(token)} sh`;
}
