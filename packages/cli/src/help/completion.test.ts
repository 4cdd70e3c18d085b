import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { allCommandTexts } from "../registry.ts";
import { completionScript } from "./completion.ts";

const hasBash = spawnSync("bash", ["-c", "true"]).status === 0;

describe.runIf(hasBash)("completion in bash", () => {
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "completion-"));
    writeFileSync(join(folder, "script"), completionScript("bash", await allCommandTexts())!);
    writeFileSync(join(folder, "coder"), "#!/bin/sh\nprintf 'WORKSPACE\\nalice/dev\\nalice/docs\\n'\n");
    chmodSync(join(folder, "coder"), 0o755);
  });

  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  /** The completions offered for the last word. */
  function offered(...words: string[]): string[] {
    const line = words.map((word) => `'${word}'`).join(" ");
    const script = `source '${folder}/script'; COMP_WORDS=(coder ${line}); COMP_CWORD=${words.length}; _coder; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const env = { ...process.env, PATH: `${folder}:${process.env["PATH"]}` };
    return execFileSync("bash", ["--norc", "-c", script], { encoding: "utf8", env }).split("\n").filter(Boolean);
  }

  test("commands, words of a topic, workspaces and flags are offered where they belong", () => {
    expect(offered("po")).toEqual(["port-forward"]);
    expect(offered("")).toContain("config-ssh");
    expect(offered("tokens", "")).toEqual(["create", "list", "remove"]);
    expect(offered("support", "b")).toEqual(["bundle"]);
    expect(offered("ssh", "d")).toEqual(["dev", "docs"]);
    expect(offered("support", "bundle", "de")).toEqual(["dev"]);
    expect(offered("ssh", "--res")).toEqual(["--resume"]);
    expect(offered("port-forward", "dev", "--re")).toEqual(expect.arrayContaining(["--reverse", "--region"]));
    expect(offered("support", "bundle", "--out")).toEqual(["--output-file"]);
    expect(offered("version", "x")).toEqual([]);
    expect(offered("ssh", "--network-info")).toEqual([]);
  });
});

test("there is a script for zsh and fish with every command, and none for other shells", async () => {
  const commands = await allCommandTexts();
  for (const shell of ["zsh", "fish"]) {
    const script = completionScript(shell, commands)!;
    for (const id of Object.keys(commands)) expect(script).toContain(id.split(":")[0]);
  }
  expect(completionScript("zsh", commands)).toMatch(/^#compdef coder\nautoload/);
  expect(completionScript("csh", commands)).toBeUndefined();
});
