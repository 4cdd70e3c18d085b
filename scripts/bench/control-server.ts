/** One `coder server` on SQLite in a folder of its own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../packages/cli/test/free-port.ts";
import type { ControlSite } from "./control-site.ts";
import { ServerProcess } from "./server-process.ts";
import { cleanEnvironment } from "./system.ts";

export class ControlServer implements ControlSite, AsyncDisposable {
  readonly url: string;
  readonly server: ServerProcess;
  readonly beside = [];
  readonly #folder: string;

  static async open(profileFolder?: string): Promise<ControlServer> {
    return new ControlServer(await freePort(), profileFolder);
  }

  private constructor(port: number, profileFolder: string | undefined) {
    this.#folder = mkdtempSync(join(tmpdir(), "bench-control-"));
    this.url = `http://127.0.0.1:${port}`;
    this.server = new ServerProcess({
      port,
      arguments: ["--access-url", this.url, "--state-dir", join(this.#folder, "state")],
      environment: cleanEnvironment(join(this.#folder, "config")),
      profileFolder,
    });
  }

  get servers(): readonly ServerProcess[] {
    return [this.server];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
