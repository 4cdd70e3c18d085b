/**
 * Entry of the executable. `ssh --stdio` runs for every `ssh`, `git` and editor window, and `version` for every editor and script
 * that looks for the command, so each has an entry of its own that loads nothing else. Everything else goes to the full command
 * line.
 */
import { loadAtRunTime as load } from "wg-userspace/io/host/run-time-require";
import { keepCompiledCode } from "./compile-cache.ts";
import { rotateGlobalFlags } from "./flags/rotate.ts";

keepCompiledCode(process.env);

const argv = rotateGlobalFlags(process.argv.slice(2));
const versionFormat = leanVersion(argv);

if (versionFormat !== undefined) {
  (load("./version.cjs", import.meta.url) as typeof import("./entries/version.ts")).runVersion(versionFormat);
} else if (argv[0] === "ssh" && wantsStdio(argv)) {
  (load("./ssh-stdio.cjs", import.meta.url) as typeof import("./ssh-stdio.ts")).runStdio(argv.slice(1));
} else {
  (load("./cli.cjs", import.meta.url) as typeof import("./cli.ts")).runCli(argv);
}

function wantsStdio(words: readonly string[]): boolean {
  if (words.includes("--help") || words.includes("-h") || words.includes("--debug-options")) return false;
  const end = words.indexOf("--");
  const flags = end < 0 ? words : words.slice(0, end);
  return flags.includes("--stdio") || flags.includes("--stdio=true") || process.env["CODER_SSH_STDIO"] === "true";
}

/** The output format when the line asks only for the version. */
function leanVersion([command, ...words]: readonly string[]): "text" | "json" | undefined {
  if (command !== "version" && command !== "--version") return undefined;
  if ((process.env["CODER_VERBOSE"] ?? "") !== "") return undefined;
  const flags = words.join(" ");
  if (flags === "" || /^(--output|-o)[ =]text$/.test(flags)) return "text";
  return /^(--output|-o)[ =]json$/.test(flags) ? "json" : undefined;
}
