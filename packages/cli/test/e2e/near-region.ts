/** A deployment on loopback with a relay-only workspace proxy, region "near", and an agent of the workspace "demo". */
import type { ChildProcess } from "node:child_process";
import { expect, vi } from "vitest";
import { freePort } from "../free-port.ts";
import { TestDeployment } from "./deployment.ts";

export const eventually = { timeout: 30_000, interval: 100 };
export const RELAYED = { CODER_DISABLE_DIRECT_CONNECTIONS: "true" };
export const PING = ["ping", "demo", "-n", "1"];

export class NearRegion {
  readonly deployment: TestDeployment;
  readonly proxy: ChildProcess;

  private constructor(deployment: TestDeployment, proxy: ChildProcess) {
    this.deployment = deployment;
    this.proxy = proxy;
  }

  /** When this returns, the region is in the map. */
  static async start(): Promise<NearRegion> {
    const deployment = await TestDeployment.start();
    try {
      const words = ["--name", "near", "--display-name", "Near you", "--only-token", "--no-prompt"];
      const token = await wsproxy(deployment, "create", ...words);
      const port = await freePort();
      const address = ["--access-url", `http://127.0.0.1:${port}`, "--http-address", `127.0.0.1:${port}`];
      const command = ["wsproxy", "server", "--primary-access-url", deployment.url, ...address];
      const proxy = deployment.spawn([...command, "--stun-address", "disable", "--derp-only"], {
        CODER_PROXY_SESSION_TOKEN: token,
      });
      const region = new NearRegion(deployment, proxy);
      await vi.waitFor(async () => expect(await region.inTheMap()).toBe(true), eventually);
      // Its home is either relay, which are equally near; it moves away from the proxy's when that goes, as its clients do.
      deployment.startAgent(await deployment.createWorkspace("demo"));
      return region;
    } catch (error) {
      await deployment.close();
      throw error;
    }
  }

  async inTheMap(): Promise<boolean> {
    const answer = await this.deployment.api("GET", "/api/v2/workspaceagents/connection");
    const { derp_map: map } = (await answer.json()) as { derp_map: { Regions: Record<string, unknown> } };
    return "10001" in map.Regions;
  }

  /** Runs `coder wsproxy` and returns its output. */
  wsproxy(...words: string[]): Promise<string> {
    return wsproxy(this.deployment, ...words);
  }
}

async function wsproxy(deployment: TestDeployment, ...words: string[]): Promise<string> {
  const done = await deployment.run(["wsproxy", ...words]);
  expect(done.code, done.stderr).toBe(0);
  return done.stdout.trim();
}
