/** A deployment whose apps have hosts that do not end in `localhost`, which development servers trust by default. */
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser } from "playwright-core";
import { TestDeployment } from "../e2e/deployment.ts";
import { launch } from "./chromium.ts";

export const SUFFIX = "apps.example.test";

/** With the workspace "demo" of its owner, whose agent runs on this machine. */
export class ProgramDeployment {
  readonly deployment: TestDeployment;
  readonly browser: Browser;
  readonly #workspaceId: string;
  readonly #closing: (() => void)[] = [];

  static async start(): Promise<ProgramDeployment> {
    const [deployment, browser] = await Promise.all([
      TestDeployment.start(undefined, undefined, ["--wildcard-access-url", `*.${SUFFIX}`]),
      launch([`--host-resolver-rules=MAP *.${SUFFIX} 127.0.0.1`]),
    ]);
    deployment.startAgent(await deployment.createWorkspace("demo"));
    const answer = await deployment.api("GET", "/api/v2/users/me/workspace/demo");
    return new ProgramDeployment(deployment, browser, ((await answer.json()) as { id: string }).id);
  }

  private constructor(deployment: TestDeployment, browser: Browser, workspaceId: string) {
    this.deployment = deployment;
    this.browser = browser;
    this.#workspaceId = workspaceId;
  }

  /** The origin at which the app or port is served. */
  originOf(what: number | string): string {
    return `http://${what}--main--demo--owner.${SUFFIX}:${new URL(this.deployment.url).port}`;
  }

  /** Lets a server of this process listen on a port until the deployment closes. */
  async listen(server: Server): Promise<number> {
    await once(server.listen(0, "127.0.0.1"), "listening");
    this.#closing.push(() => {
      server.closeAllConnections();
      server.close();
    });
    return (server.address() as AddressInfo).port;
  }

  /** Shares a port with these choices. */
  async choose(port: number, choices: object): Promise<void> {
    const body = { agent_name: "main", port, share_level: "authenticated", ...choices };
    const answer = await this.deployment.api("POST", `/api/v2/workspaces/${this.#workspaceId}/port-share`, body);
    if (answer.status !== 200) throw new Error(`port ${port}: ${answer.status} ${await answer.text()}`);
  }

  async close(): Promise<void> {
    for (const close of this.#closing) close();
    await this.browser.close();
    await this.deployment.close();
  }
}
