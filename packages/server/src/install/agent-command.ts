import { powershellQuote, shellQuote } from "./quoting.ts";

/** What the agent's machine was declared as; "" is the default. */
interface Machine {
  readonly operating_system: string;
  readonly architecture: string;
}

/**
 * One line that makes a machine the workspace: fetches the script of /init-script, which installs the command and starts the
 * agent. Without a script, because nothing can fetch it or the fetching failed, the line fails. The token is passed in the environment, where other users of the machine do not see it; the leading blank keeps the line
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
  const nothing = "error: neither curl nor wget is installed: install one of them, such as by: apt-get install curl";
  const fetch = [
    `if command -v curl >/dev/null; then curl -fsSL ${url}`,
    `elif command -v wget >/dev/null; then wget -qO- ${url}`,
    `else echo ${shellQuote(nothing)} >&2; false`,
    // A line of its own: what was cut may have ended in a comment.
    "fi || printf '\\necho error: the install script did not arrive >&2; exit 1\\n'",
  ].join("; ");
  return ` { ${fetch}; } | CODER_AGENT_TOKEN=${shellQuote(token)} sh`;
}
