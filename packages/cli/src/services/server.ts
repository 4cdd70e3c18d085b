import {
  parseServerConfig,
  presentServerError,
  runServer,
  ServerError,
  type ServerFlagValues,
  standardParts,
} from "coder-server";
import { accountHome } from "../config-dir.ts";
import { reportFailure } from "../errors/report.ts";
import { EXIT } from "../errors/user-error.ts";

/**
 * Runs the control plane until it is told to stop. Returns the exit code, after saying what went wrong: this is a bundle of
 * its own, whose error classes the caller does not know.
 */
export async function runServerCommand(
  values: ServerFlagValues,
  verbose: boolean,
  signal: AbortSignal,
): Promise<number> {
  try {
    const config = parseServerConfig(verbose ? { ...values, verbose: true } : values, surroundings());
    await runServer(config, { signal, deps: standardParts() });
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof ServerError)) return reportFailure(error, signal);
    process.stderr.write(`${presentServerError(error)}\n`);
    return EXIT.failure;
  }
}

function surroundings(): { homeDir: string; stateHome?: string } {
  const stateHome = process.env["XDG_STATE_HOME"];
  return { homeDir: accountHome(), ...(stateHome === undefined || stateHome === "" ? {} : { stateHome }) };
}
