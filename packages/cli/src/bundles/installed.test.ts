import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { requireInstalled } from "./installed.ts";

const require = createRequire(import.meta.url);
const HOUR_S = 3600;

describe("the compiled code of an installed command", () => {
  let home: string;
  let folder: string;
  let before: NodeJS.ExitListener[];
  beforeEach(() => {
    vi.useFakeTimers();
    before = process.listeners("exit");
    home = mkdtempSync(join(tmpdir(), "coder-bundles-"));
    folder = join(home, "dist");
    mkdirSync(folder);
    write("a.cjs", 'exports.answer = () => require("./b.cjs").half * 2; exports.file = __filename;');
    write("b.cjs", "exports.half = 21;");
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
    for (const listener of process.listeners("exit")) if (!before.includes(listener)) process.off("exit", listener);
    rmSync(home, { recursive: true, force: true });
  });

  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);

  /** One start of the command. Without an exit code it runs for long enough to keep what it compiled before it ends. */
  function start({
    exit = undefined as number | undefined,
    argv = ["list"],
    build = "0123456789abcdef0123",
    execArgv = [] as string[],
    environment = {} as NodeJS.ProcessEnv,
  } = {}) {
    const load = requireInstalled({
      folder,
      build,
      argv,
      execArgv,
      environment: { HOME: home, ...environment },
      uid: process.getuid?.(),
      require: (name) => (name.startsWith("./") ? require(join(folder, name)) : require(name)),
      resolve: (name) => join(folder, name),
    });
    const { answer, file } = load("./a.cjs") as { answer: () => number; file: string };
    const result = answer();
    if (exit === undefined) vi.advanceTimersByTime(10_000);
    else {
      vi.spyOn(process, "uptime").mockReturnValue(0.1);
      process.listeners("exit").at(-1)!(exit);
      vi.clearAllTimers();
    }
    return { result, file };
  }

  const place = (): string => join(home, ".cache/coder/compiled");
  const files = (): string[] => readdirSync(place()).sort();
  const outcomesIn = (file: string): unknown => {
    const [line = ""] = readFileSync(join(place(), file), "latin1").split("\n", 1);
    return (JSON.parse(line) as { outcomes: unknown }).outcomes;
  };

  it("is kept for each bundle and command, and found by the next start", () => {
    expect(start()).toEqual({ result: 42, file: join(folder, "a.cjs") });
    expect(files()).toEqual([expect.stringMatching(/-a\.cjs-list$/), expect.stringMatching(/-b\.cjs-list$/)]);
    const [a] = files();
    expect(outcomesIn(a!)).toEqual(["ok"]);
    const first = readFileSync(join(place(), a!));
    expect(start().result).toBe(42);
    expect(readFileSync(join(place(), a!)).equals(first)).toBe(true);
    expect(start({ argv: ["ssh"] }).result).toBe(42);
    expect(files()).toHaveLength(4);
  });

  it("grows when a command that failed before succeeds", () => {
    for (const exit of [1, 1, 0, 1]) expect(start({ exit }).result).toBe(42);
    expect(files()).toHaveLength(2);
    expect(outcomesIn(files()[0]!)).toEqual(["failed", "ok"]);
  });

  it("is one for all words that name no command", () => {
    for (const word of ["nosuch", "lsit", "shh"]) expect(start({ argv: [word], exit: 2 }).result).toBe(42);
    expect(files()).toEqual([expect.stringMatching(/-a\.cjs-$/), expect.stringMatching(/-b\.cjs-$/)]);
  });

  it("has a bound", () => {
    start();
    for (let i = files().length; i < 200; i++) writeFileSync(join(place(), `file${i}`), "x");
    expect(start({ argv: ["ssh"] }).result).toBe(42);
    expect(files()).toHaveLength(200);
    expect(start({ exit: 1 }).result).toBe(42);
    expect(outcomesIn(files()[0]!)).toEqual(["ok", "failed"]);
  });

  it("is that of another build, or of a bundle that was changed, no more", () => {
    expect(start().result).toBe(42);
    write("b.cjs", "exports.half = 22;");
    utimesSync(join(folder, "b.cjs"), HOUR_S, HOUR_S);
    expect(start().result).toBe(44);
    // As a package manager may install it: of the same length, from the same time.
    write("b.cjs", "exports.half = 23;");
    utimesSync(join(folder, "b.cjs"), HOUR_S, HOUR_S);
    expect(start({ build: "fedcba9876543210fedc" }).result).toBe(46);
  });

  it("is made again where it was damaged", () => {
    expect(start().result).toBe(42);
    const [a] = files();
    const path = join(place(), a!);
    const whole = readFileSync(path);
    for (const damaged of [Buffer.alloc(0), whole.subarray(0, whole.length - 8), Buffer.from(whole).fill(0, 200)]) {
      writeFileSync(path, damaged);
      expect(start().result).toBe(42);
      expect(readFileSync(path).length).toBeGreaterThan(whole.length / 2);
    }
  });

  it("goes when it is old, with what earlier versions kept", () => {
    mkdirSync(join(place(), "v22.0.0-x64-0"), { recursive: true, mode: 0o700 });
    writeFileSync(join(place(), "v22.0.0-x64-0/abc"), "x");
    writeFileSync(join(place(), "old-draft.123"), "x");
    writeFileSync(join(place(), "fresh"), "x");
    const old = Date.now() / 1000 - 31 * 24 * HOUR_S;
    for (const name of ["v22.0.0-x64-0", "old-draft.123"]) utimesSync(join(place(), name), old, old);
    chmodSync(place(), 0o700);
    start();
    expect(files()).toEqual([expect.stringMatching(/-a\.cjs-list$/), expect.stringMatching(/-b\.cjs-list$/), "fresh"]);
  });

  it.each([{ NODE_DISABLE_COMPILE_CACHE: "1" }, { NODE_V8_COVERAGE: "/nowhere" }, { HOME: "/dev/null" }])(
    "is not kept with %o",
    (environment) => {
      expect(start({ environment }).result).toBe(42);
      expect(() => files()).toThrow("ENOENT");
    },
  );

  it("is another's with other flags of V8", () => {
    start();
    start({ execArgv: ["--max-lazy"] });
    expect(files()).toHaveLength(4);
    start({ environment: { NODE_OPTIONS: "--max-lazy" } });
    expect(files()).toHaveLength(4);
  });
});
