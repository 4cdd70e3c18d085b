import { INSTALL_STEPS } from "./install-steps.ts";
import { shellQuote } from "./quoting.ts";
import { SERVICE_STEPS } from "./service-steps.ts";

export interface ScriptFacts {
  /** The URL from which everything is fetched. */
  readonly accessUrl: URL;
  /** Whether to start the agent of a workspace once the command is installed. */
  readonly agent: boolean;
}

/** GET /install.sh and, with `agent`, GET /init-script: a script for any POSIX shell that has curl or wget. */
export function installScript(facts: ScriptFacts): string {
  const about = facts.agent
    ? "# Installs the coder command from its deployment and starts the agent of a workspace."
    : "# Installs the coder command from its deployment.";
  return [
    "#!/bin/sh",
    `${about} --help tells more.`,
    "set -eu",
    "",
    `BASE=${shellQuote(facts.accessUrl.origin)}`,
    `WITH_AGENT=${facts.agent ? "yes" : "no"}`,
    INSTALL_STEPS,
    SERVICE_STEPS,
    // The last line, so that nothing of a truncated script runs.
    'main "$@"',
    "",
  ].join("\n");
}
