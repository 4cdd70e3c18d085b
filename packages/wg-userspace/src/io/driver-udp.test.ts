/** What a driver does when it has no UDP socket any more. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { EngineError } from "../base/errors.ts";
import { ip } from "../base/ip.ts";
import { clampPrivateKey, nodePrivateKey } from "../base/keys.ts";
import { Driver } from "./driver.ts";
import { nodeRandom } from "./host/crypto-suite.ts";
import { directRelayDialer } from "./relay/relay-dialer.ts";
import type { UdpSocketHandler } from "./udp/datagram-socket.ts";
import { bindUdpSocket } from "./udp/udp-socket.ts";

vi.mock("./udp/udp-socket.ts", () => ({ bindUdpSocket: vi.fn() }));

const failure = new EngineError("ERR_IO", "cannot bind UDP port 0: EMFILE");
let refused: (port: number) => boolean;
let lose: () => void;
const closed = vi.fn();

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
  refused = () => false;
  closed.mockClear();
  vi.mocked(bindUdpSocket).mockClear();
  vi.mocked(bindUdpSocket).mockImplementation(async ({ port }, handler: UdpSocketHandler) => {
    if (refused(port)) throw failure;
    lose = () => handler.onError(new EngineError("ERR_IO", "UDP socket failed", { retryable: true }));
    const ports = { ipv4: port === 0 ? 50_000 : port, ipv6: undefined };
    return { ports, waiting: 0, send: vi.fn(), sendProbe: vi.fn(), flush: vi.fn(), close: closed };
  });
});
afterEach(() => void vi.useRealTimers());

async function open(udpPort: number) {
  const changes: string[] = [];
  const driver = await Driver.open(
    {
      privateKey: nodePrivateKey(clampPrivateKey(nodeRandom.bytes(32))),
      addresses: [ip("fd7a::1")],
      udpPort,
      relay: { dialer: directRelayDialer },
    },
    { onNetworkChange: (change) => changes.push(change) },
  );
  return { driver, changes };
}

it("binds the same port again, because a router may forward it", async () => {
  const { driver, changes } = await open(41_641);
  lose();
  expect(driver.udpPorts.ipv4).toBeUndefined();
  await vi.advanceTimersByTimeAsync(0);
  expect([driver.udpPorts.ipv4, changes]).toEqual([41_641, ["new-port"]]);
  refused = (port) => port !== 0;
  lose();
  await vi.advanceTimersByTimeAsync(0);
  expect(driver.udpPorts.ipv4).toBe(50_000);
  await driver.close();
});

it.each(["is lost", "is changed"])(
  "tries again until it has a socket when one %s and none can be bound",
  async (how) => {
    const { driver, changes } = await open(0);
    refused = () => true;
    if (how === "is lost") lose();
    else await expect(driver.rebind()).rejects.toBe(failure);
    await vi.advanceTimersByTimeAsync(60_000);
    expect([driver.udpPorts.ipv4, changes]).toEqual([undefined, []]);
    refused = () => false;
    await vi.advanceTimersByTimeAsync(20_000);
    expect([driver.udpPorts.ipv4, changes]).toEqual([50_000, ["new-port"]]);
    const binds = vi.mocked(bindUdpSocket).mock.calls.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(vi.mocked(bindUdpSocket).mock.calls.length).toBe(binds);
    await driver.close();
  },
);

it("closes a socket that is bound after its own end", async () => {
  const { driver } = await open(0);
  lose();
  await driver.close();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([closed.mock.calls.length, driver.udpPorts.ipv4]).toEqual([1, undefined]);
});

it("binds nothing if no UDP is wanted", async () => {
  const driver = await Driver.open({
    privateKey: nodePrivateKey(clampPrivateKey(nodeRandom.bytes(32))),
    addresses: [ip("fd7a::1")],
    relay: { dialer: directRelayDialer },
  });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(bindUdpSocket).not.toHaveBeenCalled();
  await driver.close();
});
