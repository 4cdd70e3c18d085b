import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { derpMapOf, relayNode } from "wg-userspace/derp/map";
import type { Driver } from "wg-userspace/io/driver";
import { runNetcheck } from "wg-userspace/io/probe/netcheck";
import { Dialer } from "../dial/dialer.ts";
import type { Deployment } from "../rest/deployment.ts";
import { NetworkWatch } from "./network-watch.ts";

vi.mock("wg-userspace/io/probe/netcheck", () => ({ runNetcheck: vi.fn() }));

const MAP = derpMapOf([
  {
    regionId: 1,
    regionCode: "",
    regionName: "",
    embeddedRelay: false,
    avoid: false,
    nodes: [relayNode({ name: "1", regionId: 1, hostName: "relay.test" })],
  },
]);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it("goes on after a check that failed", async () => {
  vi.mocked(runNetcheck).mockResolvedValue({ regionLatencyMs: new Map([[1, 5]]), observations: [] } as never);
  let works = false;
  const headers = vi.fn(async () => {
    if (!works) throw new Error("the header command failed");
    return {};
  });
  const onLatencies = vi.fn();
  const watch = new NetworkWatch({
    driver: { udpPorts: { ipv4: undefined, ipv6: undefined } } as Driver,
    deployment: { dialer: new Dialer(), extraHeaders: headers } as unknown as Deployment,
    blockDirect: true,
    fixedPort: false,
    isLookedFor: () => false,
    onEndpoints: () => undefined,
    onLatencies,
  });
  watch.setMap(MAP);
  await vi.waitFor(() => expect(headers).toHaveBeenCalledOnce());
  await vi.advanceTimersByTimeAsync(60_000);
  expect(onLatencies).not.toHaveBeenCalled();
  works = true;
  await vi.advanceTimersByTimeAsync(6 * 60_000);
  await vi.waitFor(() => expect(onLatencies).toHaveBeenCalled());
  await watch.close();
  expect(vi.getTimerCount()).toBe(0);
});
