/** The structure of the packages: layers inside and between them, no circles, no test code at run time; and how objects are built. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { conditionalSpreadsIn } from "./conditional-spreads.ts";
import { circlesIn, type Module, modulesOf, specifiersIn } from "./modules.ts";
import { ROOMS } from "./rooms.ts";

const root = join(import.meta.dirname, "../..");
const modules = modulesOf(join(root, "packages"));

/** Rooms of `cli` that do what a command is for. */
const COMMANDS_WORK = [
  ...["rest", "connection", "session", "forwarding", "copy", "ssh-config", "open", "measure", "diagnosis"],
  ...["web-terminal", "hosting", "systemd"],
];

/** Files that may use conditional spreads, each with its reason. */
const MAY_SPREAD_CONDITIONALLY: Readonly<Record<string, string>> = {
  "scripts/structure/conditional-spreads.ts": "looks for their first characters",
  "scripts/structure/structure.test.ts": "has them as examples",
};

describe("the packages' modules", () => {
  it.each(Object.keys(ROOMS))("of %s import only what their room may import", (name) => {
    expect(upward(modules, name, ROOMS[name]!)).toEqual([]);
  });

  it.each(Object.entries(ROOMS))(
    "of %s stand in rooms that are named in the order in which they build on each other",
    (name, rooms) => {
      const names = Object.keys(rooms);
      const found = new Set(modules.filter(({ path }) => packageOf(path) === name).map(({ path }) => roomOf(path)));
      expect([...found].filter((room) => room !== ".").sort()).toEqual(names.filter((room) => room !== ".").sort());
      const wrong = names.flatMap((room, at) => rooms[room]!.filter((other) => names.indexOf(other) >= at));
      expect(wrong).toEqual([]);
    },
  );

  it("do not import each other in a circle, types included", () => {
    expect(circlesIn(modules)).toEqual([]);
  });

  it("of the command's work print nothing: what is printed goes through a Display", () => {
    const prints = /\bprocess\.std(?:out|err)\.write\b|\bconsole\.\w|\/say\.ts"/;
    const wrong = modules
      .filter(({ path }) => packageOf(path) === "cli" && COMMANDS_WORK.includes(roomOf(path)) && !isTestKit(path))
      .map(({ path }) => path)
      .filter((path) => prints.test(readFileSync(join(root, "packages", path), "utf8")));
    expect(wrong).toEqual([]);
  });

  it("import no test kit", () => {
    const wrong = modules
      .filter(({ path }) => !isTestKit(path))
      .flatMap(({ path, imports }) => imports.filter(isTestKit).map((target) => `${path} imports ${target}`));
    expect(wrong).toEqual([]);
  });
});

/** Files that listen to signals themselves, each with its reason. */
const MAY_LISTEN_FOR_ABORTS: Readonly<Record<string, string>> = {
  "wg-userspace/src/async/abort.ts": "the helper",
  "protocol/src/drpc/async.ts": "takes signals of a type of its own",
};

describe("the sources", () => {
  it("wait for aborts with one helper, except pages, whose files are loaded by a browser", () => {
    const listens = modules
      .filter(({ path }) => packageOf(path) !== "dashboard" && !isTestKit(path))
      .map(({ path }) => path)
      .filter((path) => /addEventListener\(\s*"abort"/.test(readFileSync(join(root, "packages", path), "utf8")));
    expect(listens.toSorted()).toEqual(Object.keys(MAY_LISTEN_FOR_ABORTS).toSorted());
  });

  it("add members without conditional spreads: types of options accept undefined, JSON leaves it out", () => {
    const files = globSync(["packages/*/{src,test,build}/**/*.{ts,tsx}", "scripts/**/*.{ts,mjs}"], { cwd: root })
      .map((file) => file.replaceAll("\\", "/"))
      .filter((file) => !file.includes("node_modules"));
    expect(files.length).toBeGreaterThan(1000);
    const found = files
      .map((file) => ({ file, lines: conditionalSpreadsIn(readFileSync(join(root, file), "utf8")) }))
      .filter(({ lines }) => lines.length > 0);
    expect(
      found.filter(({ file }) => !(file in MAY_SPREAD_CONDITIONALLY)).map(({ file, lines }) => `${file}:${lines}`),
    ).toEqual([]);
    expect(Object.keys(MAY_SPREAD_CONDITIONALLY).filter((file) => !found.some((one) => one.file === file))).toEqual([]);
  });
});

describe("reading the sources", () => {
  it.each([
    "{ ...(x === undefined ? {} : { x }) }",
    "{ ...(given ? { x: f(1) } : {}) }",
    "{ ...(given && { x }) }",
    "{ ...(one?.given && (two ?? three) && { x }) }",
    "{ a: 1, ...(\n  given\n    ? {\n        x,\n      }\n    : {}\n) }",
    '{ ...(text === ")" ? {} : { text }) }',
  ])("finds a conditional spread in %j", (code) => {
    expect(conditionalSpreadsIn(`const a = 1;\nreturn ${code};`)).toEqual([2]);
  });

  it.each([
    "{ ...(rows.get(port) ?? closed(port)) }",
    "{ ...(share === undefined ? NONE : choicesOf(share)) }",
    "[...(given ? [1] : []), ...(others ?? [])]",
    "[...(given && other?.listed ? [1] : [])]",
    "{ ...(await load({ x: a && b })), ...rest }",
    "{ ...(given ? { x } : { y: {} }) }",
    "f(...(values as {}[]))",
  ])("finds none in %j", (code) => {
    expect(conditionalSpreadsIn(code)).toEqual([]);
  });
});

describe("reading the modules", () => {
  it("finds imports of every kind and none in comments", () => {
    const code = `import { a } from "./a.ts";
import type { B } from "b";
export * from "./c.ts";
/* import "./no.ts"; */ // import "./neither.ts"
const d = await import("./d.ts");
let e: import("./e.ts").E;
import "./f.ts";`;
    expect(specifiersIn(code)).toEqual(["./a.ts", "b", "./c.ts", "./d.ts", "./e.ts", "./f.ts"]);
  });

  it("finds a module that imports itself through others", () => {
    const module = (path: string, ...imports: string[]): Module => ({ path, imports, external: [] });
    const chain = [module("a", "b"), module("b", "c"), module("c", "d"), module("d")];
    expect(circlesIn(chain)).toEqual([]);
    expect(circlesIn([...chain.slice(0, 2), module("c", "a", "d"), module("d")])).toEqual([["a", "b", "c"]]);
    expect(circlesIn([module("a", "a"), module("x", "y"), module("y", "x")])).toEqual([["a"], ["x", "y"]]);
  });

  it("finds an upward import, and an import of an unlisted room", () => {
    const module = (path: string, ...imports: string[]): Module => ({ path, imports, external: [] });
    const rooms = { low: [], high: ["low"] };
    const found = [
      module("p/src/low/a.ts", "p/src/high/b.ts", "q/src/x.ts"),
      module("p/src/high/b.ts", "p/src/low/a.ts", "p/src/other/c.ts"),
      module("p/src/main.ts", "p/src/low/a.ts", "p/src/high/b.ts"),
    ];
    expect(upward(found, "p", rooms)).toEqual([
      "p/src/low/a.ts imports p/src/high/b.ts",
      "p/src/high/b.ts imports p/src/other/c.ts",
    ]);
  });
});

function upward(all: readonly Module[], name: string, rooms: Readonly<Record<string, readonly string[]>>): string[] {
  return all
    .filter(({ path }) => packageOf(path) === name)
    .flatMap(({ path, imports }) => {
      const room = roomOf(path);
      const allowed = rooms[room];
      if (room === "." && allowed === undefined) return [];
      return imports
        .filter((target) => packageOf(target) === name && roomOf(target) !== room)
        .filter((target) => !(allowed ?? []).includes(roomOf(target)))
        .map((target) => `${path} imports ${target}`);
    });
}

function packageOf(path: string): string {
  return path.split("/")[0]!;
}

function roomOf(path: string): string {
  const [, , room, file] = path.split("/");
  return file === undefined ? "." : room!;
}

function isTestKit(path: string): boolean {
  return /\/testing(\/|\.ts$)/.test(path);
}
