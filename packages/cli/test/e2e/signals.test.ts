/** How commands end by a signal: they clean up and then die by that signal. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../free-port.ts";
import { TestDeployment } from "./deployment.ts";

const PATIENCE = { timeout: 45_000, interval: 100 };

describe("the end of a command by a signal", () => {
  let deployment: TestDeployment;
  const greeter = createServer((socket) => socket.end("greeting"));

  beforeAll(async () => {
    await once(greeter.listen(0, "127.0.0.1"), "listening");
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("dev"));
    const ready = await deployment.run(["ssh", "dev", "--", "echo ready"]);
    expect(ready.stdout).toBe("ready\n");
  }, 60_000);
  afterAll(async () => {
    greeter.close();
    await deployment?.close();
  });

  // A shell ends its loop only when the command in it died by the signal.
  it.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "is %s itself",
    async (signal) => {
      const child = deployment.spawn(["ssh", "dev", "--", "echo up; sleep 1000"], {});
      await once(child.stdout!, "data");
      await endsBy(child, signal);
    },
    60_000,
  );

  it.each([
    ["ping", ["ping", "dev"], "stdout", /pong/],
    ["port-forward", ["port-forward", "dev", "--tcp", "PORT:7"], "stderr", /Ready!/],
    ["ssh --stdio", ["ssh", "--stdio", "dev"], "stdout", /SSH-2/],
  ] as const)(
    "is the signal itself after %s cleaned up",
    async (_, args, stream, sign) => {
      const port = String(await freePort());
      const child = deployment.spawn(
        args.map((word) => word.replace("PORT", port)),
        {},
      );
      await printed(child[stream]!, sign);
      await endsBy(child, "SIGINT");
    },
    60_000,
  );

  it("is the signal itself after a session without a program cleaned up", async () => {
    const port = await freePort();
    const { port: target } = greeter.address() as { port: number };
    const child = deployment.spawn(["ssh", "-N", "-L", `${port}:127.0.0.1:${target}`, "dev"], {});
    await expect.poll(() => answerAt(port), PATIENCE).toBe("greeting");
    await endsBy(child, "SIGINT");
  }, 60_000);
});

async function endsBy(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const exit = once(child, "exit");
  child.kill(signal);
  expect(await exit).toEqual([null, signal]);
}

async function answerAt(port: number): Promise<string> {
  let text = "";
  try {
    for await (const chunk of connect(port, "127.0.0.1")) text += String(chunk);
  } catch {
    return "no connection";
  }
  return text;
}

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
