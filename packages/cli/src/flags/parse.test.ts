import { describe, expect, it } from "vitest";
import { GLOBAL_FLAGS } from "./global.ts";
import { parseLine } from "./parse.ts";
import { rotateGlobalFlags } from "./rotate.ts";
import { parseDuration } from "./spec.ts";
import { SSH_FLAGS } from "./ssh.ts";

const specs = [...SSH_FLAGS, ...GLOBAL_FLAGS];
const ssh = (argv: readonly string[], environment: Record<string, string> = {}) =>
  parseLine(specs, argv, environment, { wordsBeforeRest: 1 });

describe("parseLine", () => {
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
    const flags = (emptyCounts: boolean) => [
      { name: "a", env: "A", kind: "string", summary: "", emptyCounts } as const,
    ];
    expect(parseLine(flags(false), [], { A: "" })).toMatchObject({ values: {}, origins: { a: "unset" } });
    expect(parseLine(flags(true), [], { A: "" })).toMatchObject({ values: { a: "" }, origins: { a: "environment" } });
    expect(parseLine(flags(true), [], {})).toMatchObject({ values: {}, origins: { a: "unset" } });
  });

  it("prefers the flag to the variable and the variable to the default, and reports which it was", () => {
    const flag = ssh(["--wait", "no", "dev"], { CODER_SSH_WAIT: "yes" });
    expect([flag.values["wait"], flag.origins["wait"]]).toEqual(["no", "flag"]);
    const variable = ssh(["dev"], { CODER_SSH_WAIT: "yes" });
    expect([variable.values["wait"], variable.origins["wait"]]).toEqual(["yes", "environment"]);
    expect(ssh(["dev"]).values["wait"]).toBe("auto");
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
    expect(ssh(["--no-forward-agent", "dev"], { CODER_SSH_FORWARD_AGENT: "true" }).values["forward-agent"]).toBe(false);
  });

  it("splits list variables at commas and lines", () => {
    expect(ssh(["dev"], { CODER_SSH_ENV: "A=1, B=2\nC=3" }).values["env"]).toEqual(["A=1", "B=2", "C=3"]);
  });

  it.each([
    [["--nope", "dev"], "unknown flag --nope"],
    [["-Z", "dev"], "unknown flag -Z"],
    [["--wait", "maybe", "dev"], '--wait is "maybe"; it takes one of: yes, no, auto'],
    [
      ["--connect-timeout", "soon", "dev"],
      '--connect-timeout is "soon"; it takes a duration such as 500ms, 5s, 10m or 1h30m',
    ],
    [["dev", "--env"], "--env needs a value"],
    [["--stdio=maybe", "dev"], '--stdio is "maybe"; it takes true or false'],
  ])("refuses %j with one sentence", (argv, message) => {
    expect(() => ssh(argv)).toThrow(message);
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
    const vscode = rotateGlobalFlags([
      "--header-command",
      "print 'x=y'",
      "ssh",
      "--stdio",
      "--log-dir",
      "/l",
      "-v",
      "h",
    ]);
    expect(ssh(vscode.slice(1)).values).toMatchObject({
      "header-command": "print 'x=y'",
      "log-dir": "/l",
      verbose: true,
    });
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

describe("parseDuration", () => {
  it.each([
    ["5", 5_000],
    ["500ms", 500],
    ["1h30m", 5_400_000],
    ["1.5s", 1_500],
    ["72h", 259_200_000],
    ["1d", 86_400_000],
    ["0", 0],
  ])("reads %s as %i ms", (text, ms) => {
    expect(parseDuration(text, "--x")).toBe(ms);
  });
});
