import { powershellQuote, shellQuote } from "./quoting.ts";

/** The system and architecture that were declared for the agent's machine; "" selects the default. */
interface Machine {
  readonly operating_system: string;
  readonly architecture: string;
}

/**
 * One line that makes a machine the workspace: it fetches the script of /init-script, which installs the command and starts the
 * agent. The line fails if nothing can fetch the script, or if fetching it fails. The token is passed in the environment, where
 * other users of the machine do not see it; the leading blank keeps the line out of the history of shells that are configured so
 * (HISTCONTROL).
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
  const nothing = "error: neither curl nor wget is installed: install one of them, such as by: apt-get install curl";
  const fetch = [
    `if command -v curl >/dev/null; then curl -fsSL ${url}`,
    `elif command -v wget >/dev/null; then wget -qO- ${url}`,
    `else echo ${shellQuote(nothing)} >&2; false`,
    // On a line of its own, because a truncated script may end in a comment.
    "fi || printf '\\necho error: the install script did not arrive >&2; exit 1\\n'",
  ].join("; ");
  return ` { ${fetch}; } | CODER_AGENT_TOKEN=${shellQuote(token)} sh`;
}
