import { accessSync, constants, statSync } from "node:fs";

export function isExecutable(path: string | Buffer): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // missing or forbidden: either way it cannot be run
  }
}
