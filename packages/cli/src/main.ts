/**
 * Entry of the executable. Editors and scripts ask for the version before everything they do, so it is answered here, by
 * itself. `ssh --stdio` is started for every `ssh`, `git` and editor window, and has an entry of its own that loads nothing else.
 */
import { loadAtRunTime } from "wg-userspace/io/host/run-time-require";
import { versionJson, versionLine } from "./hosting/version-text.ts";
import { writeAtOnce } from "./ui/write-at-once.ts";

const argv = process.argv.slice(2);
const versionFormat = leanVersion(argv);

if (versionFormat !== undefined) print(versionFormat === "json" ? versionJson() : versionLine());
else (loadAtRunTime("./start.cjs", import.meta.url) as typeof import("./start.ts")).start(argv);

function print(text: string): void {
  const rest = writeAtOnce(text);
  if (rest !== "")
    (loadAtRunTime("./output.cjs", import.meta.url) as typeof import("./entries/output.ts")).endWith(rest);
}

/** The format when the line asks for the version and for nothing more. */
function leanVersion([command, ...words]: readonly string[]): "text" | "json" | undefined {
  if (command !== "version" && command !== "--version") return undefined;
  if ((process.env["CODER_VERBOSE"] ?? "") !== "") return undefined;
  const flags = words.join(" ");
  if (flags === "" || /^(--output|-o)[ =]text$/.test(flags)) return "text";
  return /^(--output|-o)[ =]json$/.test(flags) ? "json" : undefined;
}
