/** Commands whose access is revoked while they are connected: each ends, with the reason and exit code 255. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../free-port.ts";
import { TestDeployment } from "./deployment.ts";

const CONNECTED = ["--disable-direct-connections"] as const;

describe("access that ends", () => {
  let deployment: TestDeployment;
  let members = 0;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
  });

  afterAll(async () => {
    await deployment?.close();
  });

  /** A new member with a running workspace "demo". */
  async function member(): Promise<string> {
    const user = `member${++members}`;
    await deployment.addMember(user);
    deployment.startAgent(await deployment.createWorkspace("demo", user));
    expect((await deployment.run(["ssh", "demo", "--", "true"], { user })).code).toBe(0);
    return user;
  }

  function start(
    user: string,
    args: readonly string[],
  ): { child: ChildProcess; output: () => string; errors: () => string } {
    const child = deployment.spawn(args, {}, user);
    let [output, errors] = ["", ""];
    child.stdout!.on("data", (chunk) => {
      output += String(chunk);
    });
    child.stderr!.on("data", (chunk) => {
      errors += String(chunk);
    });
    return { child, output: () => output, errors: () => errors };
  }

  async function until(condition: () => boolean, child: ChildProcess): Promise<void> {
    while (!condition()) {
      if (child.exitCode !== null) throw new Error("the command ended before it was connected");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  const suspend = async (user: string): Promise<void> => {
    const answer = await deployment.api("PUT", `/api/v2/users/${user}/status/suspend`);
    expect(answer.status).toBe(200);
  };

  describe("when the user is suspended", () => {
    // The speed test ends after its time, so it is started last.
    const commands = [
      ["ssh", ["ssh", "demo", ...CONNECTED, "--", "echo ready; sleep 1000"], "ready"],
      ["ssh over UDP", ["ssh", "demo", "--", "echo ready; sleep 1000"], "ready"],
      ["ping", ["ping", "demo", ...CONNECTED], "pong from"],
      ["speedtest", ["speedtest", "demo", "--time", "15s", ...CONNECTED], "Starting a"],
    ] as const;
    const ended = new Map<string, Promise<{ code: number; errors: string }>>();

    beforeAll(async () => {
      const user = await member();
      for (const [name, args, sign] of commands) {
        const { child, output, errors } = start(user, args);
        ended.set(
          name,
          once(child, "close").then(([code]) => ({ code: code as number, errors: errors() })),
        );
        await until(() => `${output()}${errors()}`.includes(sign), child);
      }
      await suspend(user);
    });

    it.each(commands)("is reported by %s", async (name) => {
      const { code, errors } = await ended.get(name)!;
      expect([code, errors]).toEqual([255, expect.stringContaining("Your access to the workspace ended")]);
      expect(errors).toContain("(ERR_ACCESS_ENDED)");
    });
  });

  it("is reported by port-forward and by ssh --stdio when the login is removed", async () => {
    const user = await member();
    const token = (await deployment.run(["login", "token"], { user })).stdout.trim();
    const local = await freePort();
    const forward = start(user, ["port-forward", "demo", "--tcp", `${local}:80`, ...CONNECTED]);
    await until(() => `${forward.output()}${forward.errors()}`.includes(String(local)), forward.child);
    const stdio = start(user, ["ssh", "--stdio", "demo", ...CONNECTED]);
    await until(() => stdio.output().includes("SSH-2.0"), stdio.child);
    const ends = Promise.all([once(forward.child, "close"), once(stdio.child, "close")]);
    const answer = await fetch(`${deployment.url}/api/v2/users/logout`, {
      method: "POST",
      headers: { "Coder-Session-Token": token },
    });
    expect(answer.status).toBe(200);
    const codes = (await ends).map(([code]) => code as number);
    for (const { errors } of [forward, stdio]) expect(errors()).toContain("Your access to the workspace ended");
    expect(codes).toEqual([255, 255]);
  });
});
