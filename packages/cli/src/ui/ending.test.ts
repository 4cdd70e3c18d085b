/** Runs a separate process, because the tests check how it dies. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { TerminalDevice } from "coder-agent/os/terminal-device";
import { expect, it } from "vitest";

/** A command whose clean-up never ends. */
const STUCK = `
  const { Ending } = await import(${JSON.stringify(join(import.meta.dirname, "ending.ts"))});
  const { signal } = new Ending({ service: process.argv[1] !== "command", reloads: process.argv[1] === "reloads" });
  signal.addEventListener("abort", () => process.stdout.write("cancelled\\n"));
  setInterval(() => undefined, 1000);
  process.on("exit", () => {
    if (process.argv[1] === "throws") throw new Error("of a listener");
  });
  process.stdout.write("up\\n");
`;

/** @param stdin A terminal; default: none. */
function start(kind: "service" | "command" | "reloads" | "throws", stdin: number | "ignore" = "ignore") {
  const child = spawn(process.execPath, ["--input-type=module", "-e", STUCK, kind], {
    stdio: [stdin, "pipe", "ignore"],
  });
  return { child, next: () => once(child.stdout!, "data").then(([text]) => String(text)) };
}

it.each([
  ["SIGTERM", "SIGTERM"],
  ["SIGINT", "SIGINT"],
  ["SIGINT", "SIGTERM"],
] as const)("%s cancels, then %s ends at once", async (first, second) => {
  const { child, next } = start("service");
  expect(await next()).toBe("up\n");
  child.kill(first);
  expect(await next()).toBe("cancelled\n");
  child.kill(second);
  expect(await once(child, "exit")).toEqual([null, second]);
});

it("a signal ends the process also when something that waits for the end throws", async () => {
  const { child, next } = start("throws");
  expect(await next()).toBe("up\n");
  child.kill("SIGTERM");
  expect(await next()).toBe("cancelled\n");
  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([null, "SIGTERM"]);
});

it("a clean-up that does not end is ended", async () => {
  const { child, next } = start("command");
  expect(await next()).toBe("up\n");
  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([null, "SIGTERM"]);
}, 30_000);

it("SIGHUP is the command's own where it reads files again", async () => {
  const { child, next } = start("reloads");
  expect(await next()).toBe("up\n");
  child.kill("SIGHUP");
  child.kill("SIGTERM");
  expect(await next()).toBe("cancelled\n");
  child.kill("SIGHUP"); // it does not count as the second signal, which would end the process
  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([null, "SIGTERM"]);
});

it("SIGHUP does not end a service in the background, as after nohup", async () => {
  const { child, next } = start("service");
  expect(await next()).toBe("up\n");
  child.kill("SIGHUP");
  child.kill("SIGTERM");
  expect(await next()).toBe("cancelled\n");
  child.kill("SIGHUP"); // it does not count as the second signal, which would end the process
  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([null, "SIGTERM"]);
});

it.runIf(process.platform === "linux")("SIGHUP ends a service that has a terminal", async () => {
  const device = new TerminalDevice();
  try {
    const { child, next } = start("service", device.program);
    expect(await next()).toBe("up\n");
    child.kill("SIGHUP");
    expect(await next()).toBe("cancelled\n");
    child.kill("SIGINT");
    expect(await once(child, "exit")).toEqual([null, "SIGINT"]);
  } finally {
    device.close();
  }
});

it("SIGHUP ends any other command", async () => {
  const { child, next } = start("command");
  expect(await next()).toBe("up\n");
  child.kill("SIGHUP");
  expect(await next()).toBe("cancelled\n");
  child.kill("SIGHUP");
  expect(await once(child, "exit")).toEqual([null, "SIGHUP"]);
});
