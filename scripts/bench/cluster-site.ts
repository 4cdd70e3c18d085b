/** Servers on one PostgreSQL behind nginx, as docs/operations/high-availability.md describes them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findPostgres, startPostgres, type TestPostgres } from "../../packages/cli/test/cluster/postgres-server.ts";
import { freePort } from "../../packages/cli/test/free-port.ts";
import { BALANCERS, type BalancerProgram, startProgram } from "../../packages/server/test/postgres/balancers.ts";
import type { ControlSite } from "./control-site.ts";
import { missingPrograms } from "./processes.ts";
import { ServerProcess } from "./server-process.ts";
import { cleanEnvironment } from "./system.ts";

/** Settings as an operator has them, unlike the database of the tests. */
const DURABLE = ["fsync=on", "synchronous_commit=on", "full_page_writes=on", "autovacuum=on", "shared_buffers=256MB"];
/** Two for each connection that nginx passes on, and as many again while a server goes away. */
const NGINX_CONNECTIONS = 65_536;

/** What a cluster needs and this machine lacks. */
export function clusterMissing(): string[] {
  return [...(findPostgres() === undefined ? ["postgresql"] : []), ...missingPrograms("nginx")];
}

export class ClusterSite implements ControlSite, AsyncDisposable {
  readonly url: string;
  readonly servers: readonly ServerProcess[];
  readonly postgres: TestPostgres;
  readonly #nginxPid: number;
  readonly #owned: AsyncDisposableStack;

  static async open(count: number, profileFolder?: string): Promise<ClusterSite> {
    await using owned = new AsyncDisposableStack();
    const folder = mkdtempSync(join(tmpdir(), "bench-cluster-"));
    owned.defer(() => rmSync(folder, { recursive: true, force: true }));
    const postgres = await startPostgres(findPostgres()!, DURABLE);
    owned.defer(() => postgres.stop());
    const ports: number[] = [];
    while (ports.length < count) ports.push(await freePort());
    const nginx = owned.use(await startProgram(nginxProgram(), ports, NGINX_CONNECTIONS));
    const servers = ports.map(
      (port) =>
        new ServerProcess({
          port,
          arguments: [
            ["--access-url", nginx.url],
            ["--derp-server-relay-url", `http://127.0.0.1:${port}`],
            ["--state-dir", join(folder, `server-${port}`)],
            ["--keys-file", join(folder, "keys.json")],
          ].flat(),
          environment: { ...cleanEnvironment(join(folder, "config")), CODER_PG_CONNECTION_URL: postgres.url },
          profileFolder,
        }),
    );
    for (const server of servers) {
      owned.use(server);
      await server.start(); // one by one: the first makes the key file
    }
    return new ClusterSite(servers, nginx, postgres, owned.move());
  }

  private constructor(
    servers: readonly ServerProcess[],
    nginx: { readonly url: string; readonly pid: number },
    postgres: TestPostgres,
    owned: AsyncDisposableStack,
  ) {
    this.servers = servers;
    this.url = nginx.url;
    this.postgres = postgres;
    this.#nginxPid = nginx.pid;
    this.#owned = owned;
  }

  get beside() {
    return [
      { name: "PostgreSQL", pid: this.postgres.pid },
      { name: "nginx", pid: this.#nginxPid },
    ] as const;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#owned.disposeAsync();
  }
}

/** nginx of deploy/cluster; it trusts the addresses that the peers of a bench state. */
function nginxProgram(): BalancerProgram {
  const nginx = BALANCERS.find(({ program }) => program === "nginx")!;
  return {
    ...nginx,
    configure: (text, port, servers) =>
      nginx
        .configure(text, port, servers)
        .replace("X-Forwarded-For $remote_addr", "X-Forwarded-For $http_x_forwarded_for"),
  };
}
