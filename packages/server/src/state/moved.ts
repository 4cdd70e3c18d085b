import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ServerError } from "../base/errors.ts";

/** Names the store to which this directory's store was moved. */
export const MOVED_FILE = "MIGRATED_TO";

/** Throws ServerError ERR_STATE_DIR if the store of the directory has been moved: what is left is an old state. */
export function refuseMoved(stateDir: string): void {
  const path = join(stateDir, MOVED_FILE);
  if (!existsSync(path)) return;
  const where = readFileSync(path, "utf8").split("\n", 1)[0]!.slice(0, 4096);
  throw new ServerError("ERR_STATE_DIR", `The store of "${stateDir}" was moved`, {
    why: `the deployment is in ${where} now`,
    nextSteps: [
      "name that database with CODER_PG_CONNECTION_URL or --postgres-url-file",
      `to go back to the state before the move, remove "${path}"`,
    ],
  });
}
