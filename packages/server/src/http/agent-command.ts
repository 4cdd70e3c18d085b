import type { AgentRow } from "../db/schema.ts";

/** One line that starts the agent on a machine: fetches the script below and hands it the token. */
export function agentCommand(accessUrl: URL, agent: AgentRow, token: string): string {
  const script = new URL(
    `/api/v2/init-script/${agent.operating_system || "linux"}/${agent.architecture || "amd64"}`,
    accessUrl,
  );
  if (agent.operating_system === "windows") {
    return `$env:CODER_AGENT_TOKEN="${token}"; iwr -useb "${script.href}" | iex`;
  }
  return `curl -fsSL ${shellQuote(script.href)} | CODER_AGENT_TOKEN=${shellQuote(token)} sh`;
}

export const SCRIPT_SYSTEMS = ["linux", "darwin", "windows"] as const;
export const SCRIPT_ARCHITECTURES = ["amd64", "arm64", "armv7"] as const;

/** The script behind the command. It downloads no program: it starts the `coder` that is installed, or says how. */
export function initScript(accessUrl: URL, system: string): string {
  const url = accessUrl.origin;
  if (system === "windows") {
    return [
      "$ErrorActionPreference = 'Stop'",
      `$env:CODER_AGENT_URL = ${powershellQuote(url)}`,
      "if (-not $env:CODER_AGENT_TOKEN) { throw 'CODER_AGENT_TOKEN is not set' }",
      "if (-not (Get-Command coder -ErrorAction SilentlyContinue)) { throw 'The coder command is not installed on this machine' }",
      "coder agent",
      "",
    ].join("\r\n");
  }
  return [
    "#!/bin/sh",
    "# Starts the workspace agent on this machine.",
    "set -eu",
    `CODER_AGENT_URL=${shellQuote(url)}`,
    "export CODER_AGENT_URL",
    `if [ -z "$\{CODER_AGENT_TOKEN:-}" ]; then`,
    '  echo "CODER_AGENT_TOKEN is not set" >&2',
    "  exit 1",
    "fi",
    "export CODER_AGENT_TOKEN",
    `CODER_BINARY="$\{CODER_BINARY:-coder}"`,
    'if command -v "$CODER_BINARY" >/dev/null 2>&1; then',
    '  exec "$CODER_BINARY" agent </dev/null',
    "fi",
    'echo "The coder command is not installed on this machine; install it, or name it in CODER_BINARY" >&2',
    "exit 127",
    "",
  ].join("\n");
}

/** GET /install.sh: the same without a token, for somebody who opens it to see what to do. */
export function installHelp(accessUrl: URL): string {
  return [
    "#!/bin/sh",
    "# This server hands out no programs. With the coder command installed:",
    `#   coder login ${accessUrl.origin}`,
    "# and, on a machine that is to become a workspace, the line that",
    "#   coder external-workspaces create NAME",
    "# prints.",
    "if command -v coder >/dev/null 2>&1; then",
    `  echo ${shellQuote(`coder is installed. Next: coder login ${accessUrl.origin}`)}`,
    "else",
    `  echo ${shellQuote(`Install the coder command, then run: coder login ${accessUrl.origin}`)} >&2`,
    "  exit 1",
    "fi",
    "",
  ].join("\n");
}

/** GET /install.ps1: the same for PowerShell. */
export function installHelpForWindows(accessUrl: URL): string {
  const next = `coder login ${accessUrl.origin}`;
  return [
    "# This server hands out no programs. With the coder command installed:",
    `#   ${next}`,
    "# and, on a machine that is to become a workspace, the line that",
    "#   coder external-workspaces create NAME",
    "# prints.",
    "if (Get-Command coder -ErrorAction SilentlyContinue) {",
    `  Write-Output ${powershellQuote(`coder is installed. Next: ${next}`)}`,
    "} else {",
    `  throw ${powershellQuote(`Install the coder command, then run: ${next}`)}`,
    "}",
    "",
  ].join("\r\n");
}

function shellQuote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function powershellQuote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
