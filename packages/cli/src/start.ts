/** Everything but the version: loads the lean start of `ssh --stdio`, or the full command line. */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { loadAtRunTime, originAtRunTime } from "wg-userspace/io/host/run-time-require";
import { type InstalledBundles, requireInstalled } from "./bundles/installed.ts";

/** Identifies the build; undefined in a single executable, which contains compiled code. */
declare const __build: string | undefined;

export function start(argv: readonly string[]): void {
  // Only global flags precede the command. Their definitions are read only if there are any.
  if (argv[0]?.startsWith("-") === true)
    void import("./flags/rotate.ts").then(({ rotateGlobalFlags }) => run(rotateGlobalFlags(argv)));
  else run(argv);
}

function bundlesFor(argv: readonly string[]): InstalledBundles {
  const load = (name: string): unknown => loadAtRunTime(name, import.meta.url);
  if (__build === undefined) return { require: load, onCommand: () => undefined };
  return requireInstalled({
    folder: dirname(fileURLToPath(import.meta.url)),
    build: __build,
    argv,
    execArgv: process.execArgv,
    environment: process.env,
    uid: process.getuid?.(),
    require: load,
    resolve: (name) => originAtRunTime(name, import.meta.url),
  });
}

function run(argv: readonly string[]): void {
  const { require: load, onCommand } = bundlesFor(argv);
  if (argv[0] === "ssh" && wantsStdio(argv)) {
    onCommand();
    (load("./ssh-stdio.cjs") as typeof import("./ssh-stdio.ts")).runStdio(argv.slice(1));
  } else (load("./cli.cjs") as typeof import("./cli.ts")).runCli(argv, onCommand);
}

function wantsStdio(words: readonly string[]): boolean {
  if (words.includes("--help") || words.includes("-h") || words.includes("--debug-options")) return false;
  const end = words.indexOf("--");
  const flags = end < 0 ? words : words.slice(0, end);
  return flags.includes("--stdio") || flags.includes("--stdio=true") || process.env["CODER_SSH_STDIO"] === "true";
}
