/** Runs the bundles of the command on the oldest Node that `engines` allows. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

const root = join(import.meta.dirname, "../../../..");
const floor = join(root, "node_modules/node-floor/bin/node");
const coder = join(root, "packages/cli/dist/coder.cjs");

const run = (...args: readonly string[]) =>
  promisify(execFile)(floor, [...args], {
    env: { PATH: process.env["PATH"], CODER_CONFIG_DIR: join(root, "no-such-folder") },
    maxBuffer: 16 * 1024 * 1024,
  });

describe("the oldest supported Node", () => {
  it("runs server, agent and ssh of the command", async () => {
    const deployment = await TestDeployment.start(undefined, floor);
    try {
      deployment.startAgent(await deployment.createWorkspace("demo"));
      expect(await deployment.run(["ssh", "demo", "--", "echo there"])).toMatchObject({ code: 0, stdout: "there\n" });
      expect((await run(coder, "version")).stdout).toContain("Node v22.13");
    } finally {
      await deployment.close();
    }
  });
});
