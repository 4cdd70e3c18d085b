import { expect, test } from "vitest";
import { derpMapOf, type Node, relayNode } from "wg-userspace/derp/map";
import { relaySockets } from "./dashboard/relay-sockets.ts";
import { relayOrigin } from "./relay-origin.ts";
import { regionViews, relayOrigins } from "./views/regions.ts";

const node = (fields: Partial<Node>): Node =>
  relayNode({ name: "1a", regionId: 1, hostName: "relay.example", ...fields });

test.each<[Partial<Node>, string | undefined, string | undefined]>([
  [{}, "https://relay.example", "wss://relay.example"],
  [{ derpPort: 443 }, "https://relay.example", "wss://relay.example"],
  [{ derpPort: 8443 }, "https://relay.example:8443", "wss://relay.example:8443"],
  [{ derpPort: 80, forceHttp: true }, "http://relay.example", "ws://relay.example"],
  [{ derpPort: 443, forceHttp: true }, "http://relay.example:443", "ws://relay.example:443"],
  [{ hostName: "192.0.2.1", derpPort: 80 }, "https://192.0.2.1:80", "wss://192.0.2.1:80"],
  [{ hostName: "2001:db8::1", derpPort: 8443 }, "https://[2001:db8::1]:8443", "wss://[2001:db8::1]:8443"],
  [{ stunOnly: true }, undefined, undefined],
  [{ hostName: "" }, undefined, undefined],
  [{ hostName: "a.example; script-src *" }, undefined, undefined],
  [{ hostName: "a.example/x" }, undefined, undefined],
])("a page reaches the relay %o at %s and %s", (fields, http, webSocket) => {
  expect([relayOrigin(node(fields), "http"), relayOrigin(node(fields), "ws")]).toEqual([http, webSocket]);
});

test("a page measures the same relays that its policies allow", () => {
  const nodes = [node({ hostName: "" }), node({ hostName: "2001:db8::1" }), node({ stunOnly: true }), node({})];
  const region = { regionId: 1, regionCode: "a", regionName: "A", embeddedRelay: false, avoid: false, nodes };
  const map = derpMapOf([region]);
  const origins = ["https://[2001:db8::1]", "https://relay.example"];
  expect(relayOrigins(map, undefined)).toEqual(origins);
  expect(regionViews(map, new Map(), undefined)[0]?.latency_urls).toEqual(
    origins.map((origin) => `${origin}/derp/latency-check`),
  );
  expect(relaySockets(map)).toEqual(["wss://[2001:db8::1]", "wss://relay.example"]);
});
