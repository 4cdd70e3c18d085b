/**
 * The lean start of `coder version`, which loads nothing else because editors and scripts run it before everything they do. A
 * line with any other flag goes to the full command line.
 */

import { EXIT } from "../errors/user-error.ts";
import { versionJson, versionLine } from "../hosting/version-text.ts";
import { Ending } from "../ui/ending.ts";

export function runVersion(format: "text" | "json"): void {
  const ending = new Ending({ service: false });
  process.stdout.write(format === "json" ? versionJson() : versionLine());
  ending.end(EXIT.ok).catch(() => process.exit(EXIT.bug));
}
