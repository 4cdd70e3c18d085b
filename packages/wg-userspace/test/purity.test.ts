/**
 * Properties of the cores that the type checker cannot check: they read no clock, draw no entropy and hold no promise. `types: []`
 * in tsconfig.core.json already takes Buffer, timers, console and node:* away from them; scripts/structure/rooms.ts says
 * which room may import which.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { describe, expect, it } from "vitest";

const packages = join(import.meta.dirname, "../..");
const engine = join(packages, "wg-userspace/src");
const protocol = join(packages, "protocol/src");

function sources(folder: string, skip: (path: string) => boolean): { path: string; code: string }[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts") && !skip(name))
    .map((name) => ({ path: name, code: withoutComments(readFileSync(join(folder, name), "utf8")) }));
}

function withoutComments(code: string): string {
  return code.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:"'`])\/\/.*$/gm, "$1");
}

function importsOf(code: string): string[] {
  return [...code.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1]!);
}

/** Folders whose code may await: `io` on Node, `browser` in a page, `async` in both. */
const SHELLS = ["io/", "browser/", "async/"];
const cores = sources(engine, (name) => SHELLS.some((folder) => name.startsWith(folder)));
const FORBIDDEN: readonly [string, RegExp][] = [
  ["Date", /\bDate\b\s*[.(]/],
  ["Math.random", /Math\.random/],
  ["performance.now", /\bperformance\b/],
  ["async", /\basync\b\s*(\(|function|[a-zA-Z_#])/],
  ["await", /\bawait\b/],
  ["Promise", /\bPromise\b/],
  ["timers", /\bset(Timeout|Interval|Immediate)\b/],
  ["Buffer", /\bBuffer\b\s*[.(]/],
];

describe("the engine's cores", () => {
  it.each(FORBIDDEN)("contain no %s", (_name, pattern) => {
    expect(cores.filter(({ code }) => pattern.test(code)).map(({ path }) => path)).toEqual([]);
  });

  it("import no Node module and no Node-only package", () => {
    const wrong = cores.flatMap(({ path, code }) =>
      importsOf(code)
        .filter((name) => name.startsWith("node:") || ["ws", "net", "dgram"].includes(name))
        .map((name) => `${path} imports ${name}`),
    );
    expect(wrong).toEqual([]);
  });
});

/** dRPC for code that awaits, documented as the exception. */
const PROMISED = ["drpc/async.ts", "drpc/async-server.ts", "drpc/async-inbox.ts"];

describe("the wire contract", () => {
  const contract = sources(protocol, (name) => name.startsWith("gen/") || PROMISED.includes(name));
  it.each(FORBIDDEN.filter(([name]) => name !== "Date"))("contains no %s", (_name, pattern) => {
    expect(contract.filter(({ code }) => pattern.test(code)).map(({ path }) => path)).toEqual([]);
  });
});

describe("the packages", () => {
  const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
    "wg-userspace": [],
    protocol: ["wg-userspace"],
    client: ["wg-userspace", "coder-protocol"],
    agent: ["wg-userspace", "coder-protocol", "coder-client"],
    server: ["wg-userspace", "coder-protocol", "coder-client"],
    cli: ["wg-userspace", "coder-protocol", "coder-client", "coder-agent", "coder-server"],
  };
  it.each(Object.entries(MAY_IMPORT))("%s imports no package it must not know", (name, allowed) => {
    const known = ["wg-userspace", "coder-protocol", "coder-client", "coder-agent", "coder-server", "coder-cli"];
    const wrong = sources(join(packages, name, "src"), () => false).flatMap(({ path, code }) =>
      importsOf(code)
        .map((target) => target.split("/")[0]!)
        .filter((target) => known.includes(target) && !allowed.includes(target))
        .map((target) => `${relative(packages, join(packages, name, "src", path))} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });
});
