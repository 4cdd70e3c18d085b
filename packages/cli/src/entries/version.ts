/**
 * The lean start of `coder version`: editors and scripts ask for it before everything they do, so it loads nothing else.
 * Lines with any other flag are served by the full command line.
 */

import { EXIT } from "../errors/user-error.ts";
import { versionJson, versionLine } from "../hosting/version-text.ts";
import { Ending } from "../ui/ending.ts";

export function runVersion(format: "text" | "json"): void {
  const ending = new Ending({ service: false });
  process.stdout.write(format === "json" ? versionJson() : versionLine());
  ending.end(EXIT.ok).catch(() => process.exit(EXIT.bug));
}
