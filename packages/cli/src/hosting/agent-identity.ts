/** What an agent needs before anything else: its deployment and its token. */
import { readFileSync } from "node:fs";
import { isUuid } from "coder-protocol/addresses";
import { UserError } from "../errors/user-error.ts";
import { parseDeploymentUrl } from "../rest/deployment.ts";

export function agentUrl(text: string | undefined): URL {
  if (text !== undefined) return parseDeploymentUrl(text);
  throw new UserError("The agent needs to know its deployment", {
    next: [
      'set CODER_AGENT_URL and CODER_AGENT_TOKEN; "coder external-workspaces agent-instructions <workspace>" prints both',
    ],
    code: "ERR_USAGE",
    exit: 2,
  });
}

/** @param file Contains the token; read when none is given directly. */
export function agentToken(given: string | undefined, file: string | undefined): string {
  const token = given ?? (file === undefined ? undefined : readTokenFile(file));
  if (token === undefined) {
    throw new UserError("The agent needs its token", {
      next: ["set CODER_AGENT_TOKEN or CODER_AGENT_TOKEN_FILE"],
      code: "ERR_USAGE",
      exit: 2,
    });
  }
  if (!isUuid(token)) throw new UserError("The agent's token is not a UUID", { code: "ERR_USAGE", exit: 2 });
  return token;
}

function readTokenFile(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new UserError(`Cannot read the token file "${path}"`, {
      why: (error as NodeJS.ErrnoException).code,
      cause: error,
    });
  }
}
