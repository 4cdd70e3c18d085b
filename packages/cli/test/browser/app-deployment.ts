/**
 * A deployment at coder.localhost that serves each app at a host below it, like one that is tried out on a single machine. Its
 * owner has the workspace "demo", and the member bob the workspace "other".
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { vi } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { tlsFront } from "./tls-front.ts";

const FLAGS = ["--wildcard-access-url", "*.coder.localhost", "--max-share-level", "public"];

/** A program in the workspaces, both of which are on this machine. */
export interface Program {
  readonly port: number;
  /** Requests that reached it, except for icons, which browsers request on their own. */
  readonly requests: IncomingMessage[];
}

export class AppDeployment {
  readonly deployment: TestDeployment;
  readonly #closing: (() => void)[];

  /** @param scheme "https": behind a proxy that terminates TLS with its own certificate. */
  static async start(scheme: "http" | "https"): Promise<AppDeployment> {
    const closing: (() => void)[] = [];
    const deployment = await TestDeployment.start(
      async (port, folder) => {
        if (scheme === "http") return `http://coder.localhost:${port}`;
        const front = await tlsFront(port, folder, ["coder.localhost", "*.coder.localhost"]);
        closing.push(() => front.close());
        return {
          url: `https://coder.localhost:${front.port}`,
          environment: { SSL_CERT_FILE: front.certificate },
        };
      },
      process.execPath,
      FLAGS,
    );
    try {
      await deployment.addMember("bob");
      deployment.startAgent(await deployment.createWorkspace("demo"));
      deployment.startAgent(await deployment.createWorkspace("other", "bob"));
      const made = new AppDeployment(deployment, closing);
      await made.#connected();
      return made;
    } catch (error) {
      for (const close of closing) close();
      await deployment.close();
      throw error;
    }
  }

  private constructor(deployment: TestDeployment, closing: (() => void)[]) {
    this.deployment = deployment;
    this.#closing = closing;
  }

  /** Address of the deployment's own pages. */
  get url(): string {
    return this.deployment.url;
  }

  /** The origin of a port of the owner's workspace. */
  demo(what: number | string): string {
    return this.#origin(what, "demo--owner");
  }

  /** The origin of a port of bob's workspace. */
  other(what: number | string): string {
    return this.#origin(what, "other--bob");
  }

  async program(listener: RequestListener): Promise<Program & { readonly server: Server }> {
    const requests: IncomingMessage[] = [];
    const server = createServer((request, response) => {
      if (request.url !== "/favicon.ico") requests.push(request);
      listener(request, response);
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    this.#closing.push(() => {
      server.closeAllConnections();
      server.close();
    });
    return { port: (server.address() as AddressInfo).port, requests, server };
  }

  async close(): Promise<void> {
    for (const close of this.#closing) close();
    await this.deployment.close();
  }

  #origin(what: number | string, workspace: string): string {
    const { protocol, port } = new URL(this.url);
    return `${protocol}//${what}--main--${workspace}.coder.localhost:${port}`;
  }

  async #connected(): Promise<void> {
    await vi.waitFor(
      async () => {
        const answer = await this.deployment.api("GET", "/api/v2/workspaces");
        const { workspaces } = (await answer.json()) as {
          workspaces: { latest_build: { resources: { agents: { status: string }[] }[] } }[];
        };
        const states = workspaces.map((one) => one.latest_build.resources[0]?.agents[0]?.status);
        if (states.join() !== "connected,connected") throw new Error(`the agents are ${states.join()}`);
      },
      { timeout: 60_000, interval: 100 },
    );
  }
}
