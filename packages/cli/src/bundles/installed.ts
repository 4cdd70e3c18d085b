/**
 * The `require` of an installed command, which keeps V8's code of its bundles between starts. Node's own compile cache holds
 * what is compiled before a bundle runs; here the functions that a command used are in it as well, which are most of the
 * work. Without a folder to keep it in, a start is slower and nothing else, so no failure here is reported.
 */
import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { cachedDataVersionTag } from "node:v8";
import type { Script } from "node:vm";
import { cacheFolder } from "../base/cache-folder.ts";
import { addsTo, decodeKept, encodeKept, type KeptCode, type Outcome, outcomeOf, wayOf } from "./kept-code.ts";
import { requireFrom } from "./require-from.ts";

/** A command that runs for longer keeps what it used until then: later, V8 has dropped code that was used at the start. */
const AFTER_MS = 3_000;
const KEPT_DAYS = 30;
/** A bundle has a file for each command that loads it. */
const MAX_FILES = 200;
/** How much of a build's fingerprint is in the names of its files. */
const BUILD_LENGTH = 16;

export interface Installation {
  /** The folder of the bundles. */
  readonly folder: string;
  /** Changes with the text of any bundle: V8 looks at the length alone. */
  readonly build: string;
  readonly argv: readonly string[];
  /** Options of Node on its command line. */
  readonly execArgv: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly uid: number | undefined;
  /** Node's own `require`. */
  readonly require: (name: string) => unknown;
  readonly resolve: (name: string) => string;
}

export interface InstalledBundles {
  readonly require: (name: string) => unknown;
  /** Call this once the line is known to name a command, whose code is kept apart from that of other lines. */
  readonly onCommand: () => void;
}

/** A bundle's kept code: that of this command, or else that of words that name no command, which every command uses. */
interface Kept {
  readonly own: KeptCode | undefined;
  readonly any: KeptCode | undefined;
}

interface LoadedBundle {
  readonly script: Script;
  /** The file in which its code is kept. */
  readonly files: Readonly<Record<keyof Kept, string>>;
  readonly stamp: string;
  /** What the file contained, unless V8 refused it. */
  readonly kept: Kept;
}

const NOTHING: Kept = { own: undefined, any: undefined };

export function requireInstalled(installation: Installation): InstalledBundles {
  const { folder, argv, require: load } = installation;
  const place = placeOf(installation);
  if (place === undefined) return { require: load, onCommand: () => undefined };
  const way = wayOf(argv);
  let isCommand = false;
  /** Undefined once their code has been kept. */
  let loaded: LoadedBundle[] | undefined = [];
  const found = new Map<string, Kept>();
  const filesOf = (name: string) => ({ own: `${place}-${name}-${way}`, any: `${place}-${name}-` });
  const keepAll = (outcome: Outcome): void => {
    for (const bundle of loaded ?? []) keep(bundle, outcome, isCommand);
    loaded = undefined;
  };
  process.on("exit", (code) => keepAll(outcomeOf(code)));
  // Words that name no command end at once. If the machine is so slow that they have not yet, their code is not complete.
  setTimeout(() => isCommand && keepAll("running"), AFTER_MS).unref();
  const require = requireFrom({
    folder,
    text: (name) => readBundle(join(folder, name)),
    compiled(name) {
      const { own, any } = filesOf(name);
      const stamp = stampOf(join(folder, name));
      const kept = readKept(own, stamp);
      found.set(name, { own: kept, any: kept === undefined ? readKept(any, stamp) : undefined });
      return (kept ?? found.get(name)?.any)?.code;
    },
    onCompiled(name, script) {
      const kept = script.cachedDataRejected === true ? NOTHING : found.get(name)!;
      loaded?.push({ script, files: filesOf(name), stamp: stampOf(join(folder, name)), kept });
    },
    native: () => undefined,
    builtin: load,
    resolve: installation.resolve,
  });
  const onCommand = (): void => {
    isCommand = true;
  };
  return { require, onCommand };
}

/** The beginning of the names of files. Undefined if no folder can be used, or the user disabled it. */
function placeOf(installation: Installation): string | undefined {
  const { build, environment, uid } = installation;
  const { NODE_DISABLE_COMPILE_CACHE: disabled = "", NODE_V8_COVERAGE: coverage = "" } = environment;
  const folder = disabled === "" && coverage === "" ? cacheFolder("compiled", environment, uid) : undefined;
  return (
    folder &&
    join(folder, `${build.slice(0, BUILD_LENGTH)}-${process.version}-${process.arch}${flagsTag(installation)}`)
  );
}

/** V8 refuses code that was made with other flags. */
function flagsTag({ execArgv, environment }: Installation): string {
  const isPlain = execArgv.length === 0 && (environment["NODE_OPTIONS"] ?? "") === "";
  return isPlain ? "" : `-${cachedDataVersionTag().toString(16)}`;
}

/** Detects a bundle that was changed by hand. */
function stampOf(path: string): string {
  const { size, mtimeMs } = statSync(path);
  return `${size}-${mtimeMs}`;
}

function readBundle(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function readKept(file: string, stamp: string): KeptCode | undefined {
  try {
    return decodeKept(readFileSync(file), stamp);
  } catch {
    return undefined; // usually there is no file; or a backup restored one that only root can read
  }
}

function keep({ script, files, stamp, kept }: LoadedBundle, outcome: Outcome, isCommand: boolean): void {
  const target = targetOf(outcome, isCommand);
  if (target === undefined) return;
  const before = target === "own" ? kept.own : (kept.any ?? kept.own);
  if (before !== undefined && (target === "any" || !addsTo(before.outcomes, outcome))) return;
  const file = files[target];
  const draft = `${file}.${process.pid}`;
  try {
    if (before === undefined && !makeRoom(file)) return;
    const outcomes = [...(before?.outcomes ?? []), outcome];
    writeFileSync(draft, encodeKept(stamp, { outcomes, code: script.createCachedData() }), { flag: "wx", mode: 0o600 });
    renameSync(draft, file);
  } catch {
    remove(draft); // a full disk, or another process was faster
  }
}

/** Words that name no command get no file of their own, because their number is unlimited; help and its topics do. */
function targetOf(outcome: Outcome, isCommand: boolean): keyof Kept | undefined {
  if (isCommand || outcome === "ok") return "own";
  return outcome === "usage" ? "any" : undefined;
}

/**
 * Removes files that were not written for a long time, such as drafts of killed processes; those still in use are made again.
 * At the limit, files of other builds are removed before those of this one, and the oldest first.
 * @returns whether the folder has room for the file.
 */
function makeRoom(file: string): boolean {
  const folder = dirname(file);
  const build = basename(file).slice(0, BUILD_LENGTH);
  const before = Date.now() - KEPT_DAYS * 86_400_000;
  const found = readdirSync(folder).map((name) => {
    const path = join(folder, name);
    const writtenAt = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    const isOld = writtenAt < before;
    return { path, writtenAt, isOld, rank: isOld ? 0 : name.startsWith(build) ? 2 : 1 };
  });
  found.sort((one, other) => one.rank - other.rank || one.writtenAt - other.writtenAt);
  let left = found.length;
  for (const { path, isOld } of found) if ((isOld || left >= MAX_FILES) && remove(path)) left--;
  return left < MAX_FILES;
}

/** @returns Whether the file is gone now. */
function remove(path: string): boolean {
  try {
    rmSync(path, { recursive: true, force: true });
    return true;
  } catch {
    return false; // the folder of another user's backup, or one that became unreadable: it stays
  }
}
