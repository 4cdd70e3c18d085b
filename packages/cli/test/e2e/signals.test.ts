/** How commands end by a signal: cleaned up, and by the signal itself. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

const coder = join(import.meta.dirname, "../../dist/coder.cjs");

describe("the end of a command by a signal", () => {
  let deployment: TestDeployment;
  const programs: ChildProcess[] = [];

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("dev"));
    const ready = await deployment.run(["ssh", "dev", "--", "echo ready"]);
    expect(ready.stdout).toBe("ready\n");
  }, 60_000);
  afterAll(async () => {
    for (const program of programs) program.kill("SIGKILL");
    await deployment.close();
  });

  function start(args: readonly string[], stdio: "pipe" | "ignore" = "pipe"): ChildProcess {
    const child = spawn(process.execPath, [coder, ...args], {
      env: deployment.environment(),
      stdio: ["ignore", stdio, "pipe"],
    });
    programs.push(child);
    return child;
  }

  // A shell ends its loop only when the command in it died by the signal.
  it.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "is %s itself",
    async (signal) => {
      const child = start(["ssh", "dev", "--", "echo up; sleep 1000"]);
      await once(child.stdout!, "data");
      child.kill(signal);
      expect(await once(child, "exit")).toEqual([null, signal]);
    },
    60_000,
  );

  it.each([
    ["ping", ["ping", "dev"], "stdout", /pong/],
    ["port-forward", ["port-forward", "dev", "--tcp", "0:7"], "stderr", /./],
    ["ssh -N", ["ssh", "-N", "-v", "dev"], "stderr", /./],
    ["ssh --stdio", ["ssh", "--stdio", "dev"], "stdout", /SSH-2/],
  ] as const)(
    "is the signal itself after %s cleaned up",
    async (_, args, stream, sign) => {
      const child = start(args.map((word) => (word === "0:7" ? "27107:7" : word)));
      await printed(child[stream]!, sign);
      child.kill("SIGINT");
      expect(await once(child, "exit")).toEqual([null, "SIGINT"]);
    },
    60_000,
  );
});

function printed(stream: NodeJS.ReadableStream, pattern: RegExp): Promise<void> {
  let text = "";
  return new Promise((resolve, reject) => {
    stream.on("data", (chunk) => {
      text += String(chunk);
      if (pattern.test(text)) resolve();
    });
    stream.once("end", () => reject(new Error(`it ended without ${pattern}: ${text}`)));
  });
}
