/**
 * What `--help` prints, word for word. After a deliberate change: GOLDEN=write npm test, and read the difference.
 */

import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const coder = join(import.meta.dirname, "../../dist/coder.cjs");
const golden = join(import.meta.dirname, "../golden");
const COMMANDS = [
  "",
  ...[
    "config-ssh",
    "cp",
    "doctor",
    "list",
    "login",
    "netcheck",
    "open vscode",
    "ping",
    "port-forward",
    "restart",
    "show",
  ],
  ...["speedtest", "ssh", "start", "status", "stop", "support bundle", "tokens create", "version"],
];

describe("coder … --help", () => {
  it.each(COMMANDS)("%s", async (command) => {
    const args = [coder, ...command.split(" ").filter(Boolean), "--help"];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args, {
      env: { PATH: process.env["PATH"], HOME: "/nonexistent", COLUMNS: "100", NO_COLOR: "1" },
    });
    expect(stderr).toBe("");
    const said = stdout.replace(/^( {2}coder-cli\/).*$/m, "$1<version> <platform>");
    const file = join(golden, `${command === "" ? "coder" : command.replaceAll(" ", "-")}.txt`);
    if (process.env["GOLDEN"] === "write") {
      mkdirSync(golden, { recursive: true });
      writeFileSync(file, said);
    }
    expect(said).toBe(readFileSync(file, "utf8"));
  });
});
