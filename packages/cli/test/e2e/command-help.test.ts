/** The help of the built command. Needs no deployment. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const dist = join(import.meta.dirname, "../../dist");

describe("help of the built command", () => {
  let home: string;
  beforeAll(() => {
    home = mkdtempSync(join(tmpdir(), "coder-cli-"));
  });
  afterAll(() => rmSync(home, { recursive: true, force: true }));

  function coder(...args: string[]): { code: number | null; stdout: string; stderr: string } {
    const done = spawnSync(process.execPath, [join(dist, "coder.cjs"), ...args], {
      env: { PATH: process.env["PATH"], HOME: home },
      encoding: "utf8",
    });
    return { code: done.status, stdout: done.stdout, stderr: done.stderr };
  }

  it("lists its commands, and topics their commands", () => {
    for (const done of [coder(), coder("--help"), coder("help")]) {
      expect([done.code, done.stderr]).toEqual([0, ""]);
      for (const name of ["agent", "list", "login", "server", "ssh", "tokens", "users"])
        expect(done.stdout).toMatch(new RegExp(`^  ${name} +\\S`, "m"));
    }
    for (const done of [coder("tokens"), coder("tokens", "--help"), coder("help", "tokens")]) {
      expect(done.code).toBe(0);
      expect(done.stdout).toContain("tokens create");
    }
  });

  it.each([
    ["ssh", "--forward-agent"],
    ["server", "--http-address"],
    ["agent", "--tailnet-listen-port"],
    ["tokens create", "--lifetime"],
  ])("explains %s and its flags, asked either way, and runs nothing", (command, flag) => {
    const words = command.split(" ");
    const done = coder(...words, "--help");
    expect([done.code, done.stderr]).toEqual([0, ""]);
    expect(done.stdout).toContain(`$ coder ${command}`);
    expect(done.stdout).toContain(flag);
    expect(coder("help", ...words).stdout).toBe(done.stdout);
  });

  it("explains the topics of a diagnosis, without a network", () => {
    expect(coder("help", "hard-nat")).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^hard-nat\n\nA hard NAT /),
    });
    expect(coder("help", "troubleshooting").stdout).toContain("\nlow-mtu\n");
  });

  it("explains the global flags on every page", () => {
    for (const args of [["--help"], ["tokens"], ["tokens", "list", "--help"], ["ssh", "--help"]]) {
      const { stdout } = coder(...args);
      expect(stdout).toMatch(/\nGLOBAL FLAGS\n/);
      for (const flag of ["--url=", "--token=", "--ca-file=", "--header=", "-v, --verbose", "--region="])
        expect(stdout).toContain(flag);
    }
    expect(coder("--verbose")).toEqual(coder("--help"));
  });
});
