/**
 * The parts can be composed into a relay that needs no store; neither such a process nor a workspace proxy loads code of a store.
 */
import { join, relative } from "node:path";
import { type BuildOptions, build, type Metafile } from "esbuild";
import { expect, test } from "vitest";
import { clampPrivateKey } from "wg-userspace/base/keys";
import { relayNode } from "wg-userspace/derp/map";
import { nodeRandom } from "wg-userspace/io/host/crypto-suite";
import { directRelayDialer } from "wg-userspace/io/relay/relay-dialer";
import { createLogger } from "../src/base/log.ts";
import { probeRelay } from "../src/health/relay-probe.ts";
import { ProbeKeys } from "../src/relay/probe-keys.ts";
import { send, TextCollector } from "./helpers.ts";
import { serveRelayOnly } from "./relay-only.ts";

test("packets pass through a relay that is composed without a store", async () => {
  await using served = await serveRelayOnly({
    privateKey: clampPrivateKey(nodeRandom.bytes(32)),
    log: createLogger({ sink: new TextCollector(), level: "debug", format: "json" }),
    requestRoutes: [
      {
        name: "app",
        match: (url) => url.pathname === "/app",
        handle: (_request, response) => void response.writeHead(200).end("an app"),
      },
    ],
  });
  const base = served.url.href;
  expect((await send(base, "GET", "/derp/latency-check")).status).toBe(200);
  expect((await send(base, "GET", "/app")).text).toBe("an app");
  expect((await send(base, "GET", "/api/v2/users/me")).json).toEqual({ message: "Route not found." });
  expect((await send(base, "GET", "/app", { headers: { Host: "evil.example" } })).status).toBe(421);
  const node = relayNode({
    name: "1a",
    regionId: 1,
    hostName: served.url.hostname,
    derpPort: Number(served.url.port),
    forceHttp: true,
    stunPort: -1,
  });
  const region = { regionId: 1, regionCode: "", regionName: "One", embeddedRelay: false, avoid: false, nodes: [node] };
  const probe = await probeRelay(region, node, {
    keys: new ProbeKeys(),
    dialer: directRelayDialer,
    forceWebSocket: false,
    timeoutMs: 10_000,
  });
  expect(probe).toMatchObject({ exchanged: true, errors: [] });
});

test("a relay-only process loads no code of a database, of accounts or of the coordinator", async () => {
  const metafile = await bundled(join(import.meta.dirname, "relay-only.ts"), { packages: "external" });
  const loaded = Object.keys(metafile.inputs);
  expect(loaded).toContain("relay/relay-listener.ts");
  expect(roomsOf(loaded)).toEqual(["auth", "base", "config", "http", "relay"]);
  expect(loaded.filter((path) => path.startsWith("auth/"))).toEqual(["auth/hosts.ts"]);
  const external = externalOf(metafile);
  expect(external).toContain("ws");
  expect(external.filter((path) => /sqlite|kysely|hono|^coder-client/.test(path))).toEqual([]);
});

test("a workspace proxy loads no code of a database, of accounts or of the coordinator, and the engine with its first browser", async () => {
  const metafile = await bundled(join(SOURCE, "proxy/run.ts"), { external: ["bufferutil", "koffi", "udp-batch"] });
  const loaded = Object.keys(metafile.inputs);
  expect(loaded).toContain("proxy/workspace-proxy.ts");
  expect(roomsOf(loaded)).toEqual(["apps", "auth", "base", "config", "http", "proxy", "relay", "tunnels"]);
  expect(loaded.filter((path) => path.startsWith("auth/")).sort()).toEqual([
    "auth/cookies.ts",
    "auth/hosts.ts",
    "auth/tokens.ts",
  ]);
  expect(loaded.filter((path) => /kysely|hono|sqlite|\/pg(-[a-z]+)*@/.test(path))).toEqual([]);
  const engine = (paths: readonly string[]): string[] =>
    paths.filter((path) => /client\/src\/(node|connection)\/|\/(netstack|wireguard|magicsock)\//.test(path));
  expect(engine(loaded)).not.toEqual([]);
  expect(engine(loadedAtStart(metafile, "proxy/run.ts"))).toEqual([]);
  expect(loaded.filter((path) => /ws@.*\/websocket\.js$/.test(path))).toHaveLength(1);
  expect(externalOf(metafile).filter((path) => /sqlite/.test(path))).toEqual([]);
});

const SOURCE = join(import.meta.dirname, "../src");

async function bundled(entry: string, options: BuildOptions): Promise<Metafile> {
  const { metafile } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    metafile: true,
    platform: "node",
    format: "esm",
    logLevel: "silent",
    absWorkingDir: SOURCE,
    ...options,
  });
  return metafile!;
}

/** The files that an entry imports at its start; others are loaded by dynamic imports. */
function loadedAtStart({ inputs }: Metafile, entry: string): string[] {
  const found = new Set([entry]);
  for (const path of found)
    for (const imported of inputs[path]?.imports ?? [])
      if (imported.kind === "import-statement" && imported.external !== true) found.add(imported.path);
  return [...found];
}

/** The folders of this package that contain any of the files. */
function roomsOf(files: readonly string[]): string[] {
  const rooms = files.filter((path) => !path.startsWith("..")).map((path) => relative(".", path).split("/")[0]!);
  return [...new Set(rooms)].sort();
}

function externalOf({ outputs }: Metafile): string[] {
  return Object.values(outputs).flatMap(({ imports }) => imports.map(({ path }) => path));
}
