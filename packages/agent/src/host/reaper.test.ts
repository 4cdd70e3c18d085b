/** Runs in a PID namespace in which the program under test is process 1. Needs unshare(1) and the right to use it. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { expect, it } from "vitest";
import { initCommand } from "./reaper.ts";

const NAMESPACE = ["--pid", "--fork", "--mount-proc", "--kill-child"];
const canUnshare = spawnSync("unshare", [...NAMESPACE, "true"]).status === 0;

/** Makes five orphans that end at once, then prints the number of zombies. */
const ORPHANS = `
const { spawn } = require("node:child_process");
const { readdirSync, readFileSync } = require("node:fs");
for (let i = 0; i < 5; i++) spawn("/bin/sh", ["-c", "sleep 0.1 & exit 0"], { stdio: "ignore" });
const state = (pid) => {
  try {
    const stat = readFileSync("/proc/" + pid + "/stat", "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2)[0];
  } catch { return ""; }
};
setTimeout(() => {
  const zombies = readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name) && state(name) === "Z");
  console.log(process.pid === 1, zombies.length);
  process.exit(7);
}, 700);
`;

function inNamespace(file: string, args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn("unshare", [...NAMESPACE, file, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += String(chunk);
  });
  return once(child, "close").then(([code]) => ({ code: code as number | null, output: output.trim() }));
}

function throughInit(program: string): Promise<{ code: number | null; output: string }> {
  const { file, args } = initCommand([process.execPath, "-e", program]);
  return inNamespace(file, args.slice(1));
}

it.runIf(canUnshare)("Node as process 1 leaves every orphan as a zombie", async () => {
  expect(await inNamespace(process.execPath, ["-e", ORPHANS])).toEqual({ code: 7, output: "true 5" });
});

it.runIf(canUnshare)("the init reaps orphans and exits with its child's code", async () => {
  expect(await throughInit(ORPHANS)).toEqual({ code: 7, output: "false 0" });
});

it.runIf(canUnshare)("signals to process 1 reach the child, which may take its time to end", async () => {
  const program = `
    process.on("SIGTERM", () => { console.log("TERM"); process.kill(1, "SIGINT"); });
    process.on("SIGINT", () => { console.log("INT"); setTimeout(() => process.exit(23), 200); });
    process.kill(1, "SIGTERM");
    setTimeout(() => process.exit(1), 20000);`;
  expect(await throughInit(program)).toEqual({ code: 23, output: "TERM\nINT" });
});

it.runIf(canUnshare)("a child that a signal ended gives 128 and the signal's number", async () => {
  expect((await throughInit(`process.kill(process.pid, "SIGKILL"); setTimeout(() => {}, 20000);`)).code).toBe(137);
});

it.runIf(canUnshare)("the child's standard input and arguments arrive unchanged", async () => {
  const { file, args } = initCommand(["/bin/sh", "-c", 'cat; echo "$1"', "sh", "a 'b\" $c"]);
  const child = spawnSync("unshare", [...NAMESPACE, file, ...args.slice(1)], { input: "line\n", encoding: "utf8" });
  expect(child.stdout).toBe("line\na 'b\" $c\n");
});
