import { networkInterfaces } from "node:os";
import { afterEach, expect, it, vi } from "vitest";
import { instant } from "../../base/instant.ts";
import { AddressWatch, ownAddresses } from "./interfaces.ts";

vi.mock("node:os", () => ({ networkInterfaces: vi.fn() }));
afterEach(() => void vi.mocked(networkInterfaces).mockReset());

const WIRED = "eth0 192.0.2.1/24";
const WIFI = "wlan0 198.51.100.7/24";
const at = (seconds: number) => instant(seconds * 1_000);

it("only addresses that lead out of the machine count", () => {
  const address = (text: string, internal = false) => ({ address: text, cidr: `${text}/24`, internal });
  vi.mocked(networkInterfaces).mockReturnValue({
    lo: [address("127.0.0.1", true)],
    eth0: [address("192.0.2.1"), address("fe80::1")],
    docker0: [address("172.17.0.1")],
    "br-0123456789ab": [address("172.18.0.1")],
    veth1234567: [address("fe80::2")],
    brussels: [address("203.0.113.1")],
    none: undefined,
  } as never);
  expect(ownAddresses()).toEqual([WIRED, "brussels 203.0.113.1/24"]);
});

it("an address that goes is a move, one that comes is not", () => {
  const watch = new AddressWatch([WIRED]);
  expect(watch.look([WIRED], at(0))).toBeUndefined();
  expect(watch.look([WIFI, WIRED], at(1))).toBe("added");
  expect(watch.look([WIRED, WIFI], at(2))).toBeUndefined();
  expect(watch.look([WIFI], at(3))).toBe("moved");
  expect(watch.look([WIRED], at(4))).toBe("moved");
});

it("an address that comes and goes all the time is a move twice, and no more until it stays for a minute", () => {
  const watch = new AddressWatch([WIRED]);
  const flap = (second: number) => [watch.look([WIRED, WIFI], at(second)), watch.look([WIRED], at(second + 0.5))];
  expect([flap(0), flap(1), flap(2), flap(3)]).toEqual([
    ["added", "moved"],
    ["added", "moved"],
    ["added", "unsteady"],
    ["unsteady", "unsteady"],
  ]);
  expect(watch.look([WIRED, WIFI], at(70))).toBe("added");
  expect(watch.look([WIRED], at(71))).toBe("moved");
});

it("what happens to steady addresses beside an unsteady one counts as ever", () => {
  const watch = new AddressWatch([WIRED, WIFI]);
  for (let second = 0; second < 5; second++) {
    watch.look([WIRED], at(second));
    watch.look([WIRED, WIFI], at(second + 0.5));
  }
  expect(watch.look([], at(6))).toBe("moved");
  expect(watch.look([WIRED, WIFI, "wg0 10.0.0.1/32"], at(7))).toBe("added");
});

it("the memory of lost addresses is bounded", () => {
  const watch = new AddressWatch([]);
  const many = Array.from({ length: 1_000 }, (_, i) => `eth0 10.0.${i >> 8}.${i & 255}/16`);
  for (let second = 0; second < 3; second++) {
    watch.look(many, at(second));
    watch.look([], at(second + 0.5));
  }
  expect(watch.look([many[0]!], at(4))).toBe("added"); // forgotten
  expect(watch.look([many[999]!], at(5))).toBe("moved");
});
