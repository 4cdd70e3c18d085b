import { readFileSync } from "node:fs";
import { getRawAsset, isSea } from "node:sea";
import { fileURLToPath } from "node:url";
import type { DashboardFiles } from "coder-server";

/** The built dashboard: a folder beside the bundles, or assets of the executable. */
export function dashboardFiles(): DashboardFiles {
  return { read: isSea() ? readAsset : readFile };
}

function readFile(name: string): Uint8Array | undefined {
  try {
    return readFileSync(fileURLToPath(new URL(`./dashboard/${name}`, import.meta.url)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function readAsset(name: string): Uint8Array | undefined {
  try {
    return new Uint8Array(getRawAsset(`dashboard/${name}`));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_SINGLE_EXECUTABLE_APPLICATION_ASSET_NOT_FOUND") return undefined;
    throw error;
  }
}
