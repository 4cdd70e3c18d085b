import { afterEach, expect, it } from "vitest";
import { derpMapOf, relayNode } from "wg-userspace/derp/map";
import { Deployment } from "../rest/deployment.ts";
import { TailnetNode, type TailnetNodeEvent } from "./tailnet-node.ts";

let node: TailnetNode;
afterEach(async () => node.close());

it("a new UDP port is reported to the control plane and is not a network change: connections of the host continue", async () => {
  node = await TailnetNode.open({
    deployment: new Deployment({ url: new URL("http://127.0.0.1:9"), token: "t" }),
    addresses: ["fd7a:115c:a1e0::7"],
    nodeId: 7n,
    isDestination: () => false,
  });
  // Nothing listens there: the node only needs a home to publish itself.
  const relay = relayNode({
    name: "1a",
    regionId: 1,
    hostName: "127.0.0.1",
    ipv4: "127.0.0.1",
    derpPort: 9,
    stunPort: -1,
  });
  node.setDerpMap(
    derpMapOf([
      { regionId: 1, regionCode: "one", regionName: "One", embeddedRelay: false, avoid: false, nodes: [relay] },
    ]),
  );
  const before = node.driver.udpPorts.ipv4!;
  expect(node.self()!.endpoints.some((text) => text.endsWith(`:${before}`))).toBe(true);
  const events: TailnetNodeEvent["kind"][] = [];
  node.on(({ kind }) => events.push(kind));
  let changes = 0;
  node.onSelfChanged(() => changes++);

  await node.driver.rebind();

  const after = node.driver.udpPorts.ipv4!;
  expect(after).not.toBe(before);
  expect(changes).toBeGreaterThan(0);
  expect(node.self()!.endpoints.every((text) => !text.endsWith(`:${before}`))).toBe(true);
  expect(node.self()!.endpoints.some((text) => text.endsWith(`:${after}`))).toBe(true);
  expect(events).not.toContain("moved");
});
