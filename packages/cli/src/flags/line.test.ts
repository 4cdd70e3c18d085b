import * as Parser from "@oclif/core/parser";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GLOBAL_FLAGS } from "./global.ts";
import { exactText, text } from "./kinds.ts";
import { readShaped } from "./lean-values.ts";
import { oclifArgv, oclifFlags, shapeLine } from "./line.ts";
import { rotateGlobalFlags } from "./rotate.ts";
import { SSH_FLAGS } from "./ssh.ts";
import { durationText, readDuration } from "./values.ts";

const FLAGS = { ...SSH_FLAGS, ...GLOBAL_FLAGS };

const shape = (argv: readonly string[], environment: Record<string, string> = {}) =>
  shapeLine(FLAGS, argv, environment, 1);
const ssh = (argv: readonly string[], environment: Record<string, string> = {}) => {
  const line = shape(argv, environment);
  return { ...line, values: readShaped(FLAGS, line) };
};

/** How oclif's parser reads the line. */
async function byOclif(line: ReturnType<typeof shape>) {
  const parsed = await Parser.parse(oclifArgv(line), {
    flags: oclifFlags(FLAGS) as Parameters<typeof Parser.parse>[1]["flags"],
    args: {},
    strict: false,
  } as Parameters<typeof Parser.parse>[1]);
  return { flags: parsed.flags, words: parsed.raw.map(({ input }) => input) };
}

describe("shapeLine", () => {
  it.each([
    [["dev"], ["dev"]],
    [
      ["dev", "ls", "-la"],
      ["dev", "ls", "-la"],
    ],
    [
      ["dev", "--", "ls", "--help"],
      ["dev", "ls", "--help"],
    ],
    [
      ["dev", "--", "echo", "a", "b", "a", "echo"],
      ["dev", "echo", "a", "b", "a", "echo"],
    ],
    [
      ["dev", "ls", "--help"],
      ["dev", "ls", "--help"],
    ],
    [
      ["-A", "dev", "-e", "A=1", "--", "env"],
      ["dev", "env"],
    ],
    [
      ["dev", "-A", "env", "-i"],
      ["dev", "env", "-i"],
    ],
    [["--stdio", "--", "dev"], ["dev"]],
    [
      ["dev", "grep", "--", "-x"],
      ["dev", "grep", "--", "-x"],
    ],
  ])("takes the words of %j as %j", (argv, words) => {
    expect(ssh(argv).words).toEqual(words);
  });

  it("treats an empty variable as absent, except where empty is a setting", () => {
    const flags = (emptyCounts: boolean) => ({ a: exactText({ env: "A", summary: "", emptyCounts }) });
    expect(shapeLine(flags(false), [], { A: "" })).toMatchObject({ given: {}, origins: { a: "unset" } });
    expect(shapeLine(flags(true), [], { A: "" })).toMatchObject({ given: { a: "" }, origins: { a: "environment" } });
    expect(shapeLine(flags(true), [], {})).toMatchObject({ given: {}, origins: { a: "unset" } });
  });

  it("treats an empty text as absent, and uses no variable instead", () => {
    const flags = { a: text({ env: "A", summary: "" }), b: exactText({ env: "B", summary: "" }) };
    expect(shapeLine(flags, ["--a=", "--b", ""], { A: "x", B: "y" }).given).toEqual({ b: "" });
  });

  it("prefers the flag to the variable and the variable to the default, and reports which it was", () => {
    const flag = ssh(["--wait", "no", "dev"], { CODER_SSH_WAIT: "yes" });
    expect([flag.values.wait, flag.origins["wait"]]).toEqual(["no", "flag"]);
    const variable = ssh(["dev"], { CODER_SSH_WAIT: "yes" });
    expect([variable.values.wait, variable.origins["wait"]]).toEqual(["yes", "environment"]);
    expect([ssh(["dev"]).values.wait, ssh(["dev"]).origins["wait"]]).toEqual(["auto", "default"]);
  });

  it("takes the last of several values", () => {
    expect(ssh(["--url", "a", "--url", "b", "dev"]).values.url).toBe("b");
    expect(ssh(["--verbose", "--no-verbose", "dev"]).values.verbose).toBe(false);
  });

  it("reads groups of short flags, values behind = and negated switches", () => {
    const line = ssh(["-vA", "-R8080:localhost:3000", "--env=A=B=C", "--disable-autostart=true", "dev"]);
    expect(line.values).toMatchObject({
      verbose: true,
      "forward-agent": true,
      "remote-forward": ["8080:localhost:3000"],
      env: ["A=B=C"],
      "disable-autostart": true,
    });
    const off = ssh(["--no-forward-agent", "dev"], { CODER_SSH_FORWARD_AGENT: "true" });
    expect(off.values["forward-agent"]).toBe(false);
  });

  it("splits list variables at commas and lines", () => {
    expect(ssh(["dev"], { CODER_SSH_ENV: "A=1, B=2\nC=3" }).values.env).toEqual(["A=1", "B=2", "C=3"]);
  });

  it.each([
    [["--nope", "dev"], {}, "unknown flag --nope"],
    [["-Z", "dev"], {}, "unknown flag -Z"],
    [["--wait", "maybe", "dev"], {}, '--wait is "maybe"; it takes one of: yes, no, auto'],
    [["--connect-timeout", "soon"], {}, '--connect-timeout is "soon"; it takes a duration such as 500ms, 5s, 10m'],
    [["dev", "--env"], {}, "--env needs a value"],
    [["--stdio=maybe", "dev"], {}, '--stdio is "maybe"; it takes true or false'],
    [["dev"], { CODER_VERBOSE: "perhaps" }, 'CODER_VERBOSE is "perhaps"; it takes true or false'],
  ])("refuses %j with %j in one sentence", (argv, environment, message) => {
    expect(() => ssh(argv, environment)).toThrow(message);
  });

  it("accepts the lines that editors send", () => {
    const jetbrains = rotateGlobalFlags(
      "--global-config /d --url https://x ssh --stdio --disable-autostart --network-info-dir /n --usage-app=jetbrains --ssh-host-prefix p-- -- p--dev".split(
        " ",
      ),
    );
    expect(jetbrains[0]).toBe("ssh");
    const line = ssh(jetbrains.slice(1));
    expect(line.words).toEqual(["p--dev"]);
    expect(line.values).toMatchObject({
      "global-config": "/d",
      url: "https://x",
      stdio: true,
      "usage-app": "jetbrains",
    });
    const words = ["--header-command", "print 'x=y'", "ssh", "--stdio", "--log-dir", "/l", "-v", "h"];
    expect(ssh(rotateGlobalFlags(words).slice(1)).values).toMatchObject({
      "header-command": "print 'x=y'",
      "log-dir": "/l",
      verbose: true,
    });
  });
});

describe("the full start, with oclif's parser, and the lean one", () => {
  it.each([
    [["--tty=false", "dev"]], // the negation of this flag is the name of another
    [["--header-command", "-vx", "--log-dir=--verbose", "dev"]],
    [["--header-command", "--", "--url", "-", "dev"]],
    [["dev", "--", "echo", "a", "b", "a", "--", "echo"]],
  ])("read %j alike", async (argv) => {
    const line = shape(argv);
    const parsed = await byOclif(line);
    expect(parsed.flags).toEqual(readShaped(FLAGS, line));
    expect(parsed.words.slice(-line.words.length)).toEqual(line.words);
  });

  it("read random lines alike", async () => {
    const names = Object.keys(FLAGS);
    const values = fc.constantFrom(
      "",
      "true",
      "false",
      "5s",
      "auto",
      "a=b",
      "x",
      "-",
      "dev",
      "a,b",
      "-vx",
      "--verbose",
    );
    const variables = Object.values(FLAGS).flatMap(({ env }) => env ?? []);
    const part = fc.oneof(
      fc.tuple(fc.constantFrom(...names), values).map(([name, value]) => [`--${name}=${value}`]),
      fc.tuple(fc.constantFrom(...names), values).map(([name, value]) => [`--${name}`, value]),
      fc.constantFrom(...names).map((name) => [`--no-${name}`]),
      values.map((value) => [value]),
    );
    const lines = fc.tuple(fc.array(part, { maxLength: 5 }), fc.dictionary(fc.constantFrom(...variables), values));
    let read = 0;
    await fc.assert(
      fc.asyncProperty(lines, async ([parts, environment]) => {
        let line: ReturnType<typeof shape>;
        try {
          line = shape(parts.flat(), environment);
        } catch {
          return; // neither start accepts the line
        }
        read++;
        expect((await byOclif(line)).flags).toEqual(readShaped(FLAGS, line));
      }),
      { numRuns: 400 },
    );
    expect(read).toBeGreaterThan(20);
  });
});

describe("rotateGlobalFlags", () => {
  it.each([
    [
      ["ssh", "dev"],
      ["ssh", "dev"],
    ],
    [
      ["-v", "ssh", "dev"],
      ["ssh", "-v", "dev"],
    ],
    [
      ["--url=https://x", "--token", "t", "list"],
      ["list", "--url=https://x", "--token", "t"],
    ],
    [["--help"], ["--help"]],
    [["-v"], ["-v"]],
    [[], []],
  ])("turns %j into %j", (argv, rotated) => {
    expect(rotateGlobalFlags(argv)).toEqual(rotated);
  });
});

describe("durations", () => {
  it.each([
    ["5", 5_000],
    ["500ms", 500],
    ["1h30m", 5_400_000],
    ["1.5s", 1_500],
    ["72h", 259_200_000],
    ["1d", 86_400_000],
    ["0", 0],
  ])("reads %s as %i ms", (written, ms) => {
    expect(readDuration(written)).toBe(ms);
    expect(readDuration(durationText(ms))).toBe(ms);
  });

  it.each(["soon", "5 s", "-1s", "", "1h30"])("refuses %j", (written) => {
    expect(readDuration(written)).toBeUndefined();
  });
});
