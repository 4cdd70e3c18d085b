import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { derpMapToJson } from "wg-userspace/derp/map";
import { createLogger } from "../base/log.ts";
import type { ServerFlagValues } from "../config/flags.ts";
import { parseServerConfig } from "../config/parse.ts";
import { RelayMaps } from "./relay-map.ts";

const folder = mkdtempSync(join(tmpdir(), "relay-map-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A map in the form that Tailscale publishes, with fields that are unknown here. */
const TAILSCALE = {
  Regions: {
    "1": {
      RegionID: 1,
      RegionCode: "nyc",
      RegionName: "New York City",
      Latitude: 40.7,
      Nodes: [
        {
          Name: "1f",
          RegionID: 1,
          HostName: "derp1f.example.com",
          IPv4: "192.0.2.15",
          IPv6: "2001:db8::1",
          CanPort80: true,
        },
        { Name: "1s", RegionID: 1, HostName: "stun.example.com", STUNOnly: true, Future: { deep: [1] } },
      ],
    },
  },
  SomethingNew: true,
};

async function open(
  flags: ServerFlagValues,
  options: { stunPort?: number; intervalMs?: number; fetchTimeoutMs?: number } = {},
) {
  const log: string[] = [];
  const maps = await RelayMaps.open({
    config: parseServerConfig(flags, { homeDir: folder }).derp,
    addresses: { accessUrl: () => new URL("https://coder.example.com"), stunPort: () => options.stunPort },
    log: createLogger({ sink: { write: (line) => void log.push(line) }, level: "debug", format: "json" }),
    intervalMs: options.intervalMs ?? 3_600_000,
    fetchTimeoutMs: options.fetchTimeoutMs,
  });
  return { maps, log, [Symbol.dispose]: () => maps.close() };
}

const failure = async (flags: ServerFlagValues, options = {}): Promise<unknown> => {
  try {
    using opened = await open(flags, options);
    return opened.maps.current();
  } catch (error) {
    const { code, title, why } = error as { code: string; title: string; why: string };
    return { code, title, why };
  }
};

function file(name: string, content: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

async function served(handler: RequestListener) {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/map`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe("RelayMaps", () => {
  it("has the embedded relay and one STUN-only region per public server, by default", async () => {
    using opened = await open({});
    const { Regions: regions } = derpMapToJson(opened.maps.current()) as { Regions: Record<string, unknown> };
    expect(Object.keys(regions)).toEqual(["999", "1000", "1001", "1002", "1003", "1004"]);
    expect(regions["999"]).toEqual({
      EmbeddedRelay: true,
      RegionID: 999,
      RegionCode: "coder",
      RegionName: "Coder Embedded Relay",
      Nodes: [{ Name: "999b", RegionID: 999, HostName: "coder.example.com", STUNPort: -1, DERPPort: 443 }],
    });
    expect(regions["1001"]).toEqual({
      EmbeddedRelay: false,
      RegionID: 1001,
      RegionCode: "coder_stun_1001",
      RegionName: "Coder STUN 1001",
      Nodes: [{ Name: "1001stun0", RegionID: 1001, HostName: "stun1.l.google.com", STUNPort: 19302, STUNOnly: true }],
    });
  });

  it("announces the own STUN server on the embedded relay, so that a site without the Internet has one", async () => {
    using opened = await open(
      { "derp-server-stun-addresses": "disable", "derp-server-region-id": "7", "derp-server-region-name": "Here" },
      { stunPort: 3478 },
    );
    const { Regions: regions } = derpMapToJson(opened.maps.current()) as { Regions: Record<string, unknown> };
    expect(regions).toEqual({
      "7": {
        EmbeddedRelay: true,
        RegionID: 7,
        RegionCode: "coder",
        RegionName: "Here",
        Nodes: [{ Name: "7b", RegionID: 7, HostName: "coder.example.com", STUNPort: 3478, DERPPort: 443 }],
      },
    });
  });

  it("announces STUN servers of the deployment where the settings say, and none at an access URL of several servers", async () => {
    const nodes = async (flags: ServerFlagValues) => {
      using opened = await open({ "derp-server-stun-addresses": "disable", ...flags }, { stunPort: 3478 });
      return opened.maps
        .current()
        .regions.get(999)
        ?.nodes.map((n) => [n.name, n.hostName, n.stunPort, n.stunOnly]);
    };
    const relayUrl = { "derp-server-relay-url": "http://10.0.0.11:3000" };
    const relay = ["999b", "coder.example.com", -1, false];
    expect(await nodes(relayUrl)).toEqual([relay]);
    const announced = { "stun-announce": "stun-a.example.com,192.0.2.7:3479,[2001:db8::1]:3478" };
    for (const flags of [announced, { ...announced, ...relayUrl }])
      expect(await nodes(flags)).toEqual([
        relay,
        ["999stun0", "stun-a.example.com", 3478, true],
        ["999stun1", "192.0.2.7", 3479, true],
        ["999stun2", "2001:db8::1", 3478, true],
      ]);
  });

  it("without direct connections has no STUN of any kind", async () => {
    const path = file("block.json", TAILSCALE);
    using opened = await open({ "derp-config-path": path, "block-direct-connections": "true" }, { stunPort: 3478 });
    const { regions } = opened.maps.current();
    expect([...regions.keys()]).toEqual([1, 999]);
    const nodes = [...regions.values()].flatMap((region) => region.nodes);
    expect(nodes.map((node) => [node.name, node.stunOnly, node.stunPort])).toEqual([
      ["1f", false, -1],
      ["999b", false, -1],
    ]);
  });

  it("takes a map of Tailscale's as it is, beside its own", async () => {
    using opened = await open({ "derp-config-path": file("tailscale.json", TAILSCALE) });
    const { regions } = opened.maps.current();
    expect([...regions.keys()]).toEqual([1, 999, 1000, 1001, 1002, 1003, 1004]);
    expect(regions.get(1)?.nodes[0]).toMatchObject({ hostName: "derp1f.example.com", ipv4: "192.0.2.15", stunPort: 0 });
  });

  it("can do without the embedded relay when another one is there, and keeps the STUN servers", async () => {
    const flags = { "derp-server-enable": "false", "derp-config-path": file("own.json", TAILSCALE) };
    using opened = await open(flags);
    expect([...opened.maps.current().regions.keys()]).toEqual([1, 1000, 1001, 1002, 1003, 1004]);
  });

  it("refuses to start, in a sentence, with a map that cannot be used", async () => {
    const clash = { Regions: { "999": { ...TAILSCALE.Regions["1"], RegionID: 999, Nodes: [] } } };
    const stunClash = { Regions: { "1000": { ...TAILSCALE.Regions["1"], RegionID: 1000, Nodes: [] } } };
    const stunOnly = { Regions: { "1": { ...TAILSCALE.Regions["1"], Nodes: [TAILSCALE.Regions["1"].Nodes[1]] } } };
    const why = async (content: unknown, flags: ServerFlagValues = {}) =>
      ((await failure({ ...flags, "derp-config-path": file("bad.json", content) })) as { why: string }).why;
    expect(await why(clash)).toBe("region 999 is already the embedded relay: give one of them another id");
    expect(await why(stunClash)).toBe(
      "region 1000 is already a STUN server of this deployment: give one of them another id",
    );
    expect(await why(stunOnly, { "derp-server-enable": "false" })).toBe(
      "it has no relay, and the embedded one is switched off",
    );
    expect(await why(stunOnly)).toBeUndefined();
    expect(await why("{")).toMatch(/^it is not JSON: /);
    expect(await why({ Regions: { "1": { RegionID: 2 } } })).toContain("RegionID is 2, want 1");
    expect(await why(" ".repeat(2 * 1024 * 1024))).toContain("at most 1048576 are read");
    expect(await failure({ "derp-config-path": join(folder, "absent") })).toEqual({
      code: "ERR_CONFIG",
      title: `The relay map "${join(folder, "absent")}" cannot be used`,
      why: "there is no such file",
    });
    expect(await failure({ "derp-server-region-id": "65535" })).toMatchObject({ code: "ERR_CONFIG" });
  });

  it("reads a file again when it changes, tells followers only of real changes, and keeps the old map otherwise", async () => {
    const path = file("live.json", TAILSCALE);
    using opened = await open({ "derp-config-path": path });
    const { maps, log } = opened;
    let changes = 0;
    maps.onChange(() => changes++);
    const region = TAILSCALE.Regions["1"];

    writeFileSync(path, JSON.stringify({ Regions: { "1": { ...region, Nodes: [...region.Nodes].reverse() } } }));
    await maps.refresh();
    expect(changes).toBe(0); // a different order of nodes is not a change

    writeFileSync(path, JSON.stringify({ Regions: { "1": { ...region, RegionName: "Elsewhere" } } }));
    await maps.refresh();
    expect(changes).toBe(1);
    expect(maps.current().regions.get(1)?.regionName).toBe("Elsewhere");

    writeFileSync(path, "not json");
    await maps.refresh();
    await maps.refresh();
    rmSync(path);
    await maps.refresh();
    expect(changes).toBe(1);
    expect(maps.current().regions.get(1)?.regionName).toBe("Elsewhere");
    const warnings = log.filter((line) => line.includes("the old one stays"));
    expect(warnings).toHaveLength(2); // each problem is reported once
    expect(warnings[1]).toContain("there is no such file");

    writeFileSync(`${path}.new`, JSON.stringify(TAILSCALE));
    renameSync(`${path}.new`, path);
    await maps.refresh();
    expect(changes).toBe(2);
  });

  it("checks the file periodically", async () => {
    const path = file("polled.json", TAILSCALE);
    using opened = await open({ "derp-config-path": path }, { intervalMs: 5 });
    opened.maps.current();
    const changed = new Promise<void>((resolve) => opened.maps.onChange(resolve));
    writeFileSync(path, JSON.stringify({ Regions: {} }));
    await changed;
    expect(opened.maps.current().regions.has(1)).toBe(false);
  });

  it("fetches a map from a URL, and reports why it could not", async () => {
    let answer: RequestListener = (_request, response) => response.end(JSON.stringify(TAILSCALE));
    await using server = await served((request, response) => answer(request, response));
    using opened = await open({ "derp-config-url": server.url });
    expect(opened.maps.current().regions.get(1)?.regionCode).toBe("nyc");

    const why = async () =>
      ((await failure({ "derp-config-url": server.url }, { fetchTimeoutMs: 300 })) as { why: string }).why;
    answer = (_request, response) => response.writeHead(503).end();
    expect(await why()).toBe("it answered HTTP 503");
    answer = (_request, response) => response.end("x".repeat(2 * 1024 * 1024));
    expect(await why()).toBe("it sent more than 1048576 bytes");
    answer = (_request, response) => response.write("{"); // an answer that never continues
    expect(await why()).toBe("no complete answer within 0.3 s");
    answer = () => undefined;
    expect(await why()).toBe("no complete answer within 0.3 s");
    expect(await failure({ "derp-config-url": "http://127.0.0.1:1/" })).toMatchObject({
      title: 'The relay map "http://127.0.0.1:1/" cannot be used',
      why: expect.stringMatching(/connection refused/),
    });
    answer = (_request, response) => response.writeHead(503).end();
    await opened.maps.refresh(); // fails, and the old map stays
    expect(opened.maps.current().regions.get(1)?.regionCode).toBe("nyc");
  }, 30_000);
});
