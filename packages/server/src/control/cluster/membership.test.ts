import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startServer, temporaryDirectory } from "../../../test/helpers.ts";
import type { Replica } from "./cluster-database.ts";
import { requireRelayAddress, siblingsOf } from "./membership.ts";

const replica = (id: string): Replica => ({
  id,
  hostname: `host-${id}`,
  relayAddress: "",
  regionId: 999,
  version: "v0",
  startedAt: 0,
  error: "",
  databaseLatencyUs: 0,
});

/** A link that reports these lists of replicas in turn and then repeats the last. */
function linkOf(...answers: (readonly string[])[]) {
  return {
    get replicas(): readonly Replica[] {
      return (answers.length > 1 ? answers.shift()! : answers[0]!).map(replica);
    },
  };
}

const wait = { everyMs: 0, tries: 5 };

describe("a server without a relay", () => {
  it("states its address all the same, for siblings that ask it whether it is well", async () => {
    const map = join(temporaryDirectory(), "map.json");
    const node = { Name: "1a", RegionID: 1, HostName: "relay.example" };
    const region = { RegionID: 1, RegionCode: "one", RegionName: "One", Nodes: [node] };
    writeFileSync(map, JSON.stringify({ Regions: { 1: region } }));
    const relayUrl = "http://10.0.0.11:3000/";
    const flags = { "derp-server-enable": false, "derp-config-path": map, "derp-server-relay-url": relayUrl };
    await using at = await startServer({ flags });
    expect(at.server.parts.replicas()).toMatchObject([{ relayAddress: "http://10.0.0.11:3000", regionId: 0 }]);
  });

  it("gets no link from the relays of its siblings", () => {
    const at = (id: string, regionId: number): Replica => ({ ...replica(id), relayAddress: `http://${id}`, regionId });
    const all = [at("me", 999), at("relay", 999), at("none", 0)];
    expect(siblingsOf(all, "me", 999).map(({ id }) => id)).toEqual(["relay"]);
  });
});

describe("a server without an address for siblings", () => {
  it("starts when it is the only one", async () => {
    await requireRelayAddress(linkOf(["me"]), wait);
  });

  it("starts when the other one turns out to be dead", async () => {
    await requireRelayAddress(linkOf(["me", "dead"], ["me", "dead"], ["me"]), wait);
  });

  it("does not start beside a running one", async () => {
    await expect(requireRelayAddress(linkOf(["me", "other"]), wait)).rejects.toMatchObject({
      code: "ERR_CONFIG",
      message: expect.stringContaining("a relay address must be set when several servers run"),
    });
  });

  it("waits no longer once the start is given up", async () => {
    const signal = AbortSignal.abort();
    await requireRelayAddress(linkOf(["me", "other"]), { everyMs: 3_600_000, tries: 5, signal });
  });
});
