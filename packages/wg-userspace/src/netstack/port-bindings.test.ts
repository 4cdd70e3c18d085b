import { describe, expect, it } from "vitest";
import { type IpAddress, ip } from "../base/ip.ts";
import { checkPort, ephemeralPort, PortBindings } from "./port-bindings.ts";

interface Bound {
  readonly name: string;
  readonly port: number;
  readonly address: IpAddress | undefined;
}

const bindings = (): PortBindings<Bound> => new PortBindings((port) => `port ${port} is taken`);
const one = ip("10.0.0.1");
const two = ip("10.0.0.2");

describe("bindings", () => {
  it("prefer the one to exactly this address over one to any address, whichever was added first", () => {
    for (const names of [
      ["any", "one"],
      ["one", "any"],
    ]) {
      const ports = bindings();
      for (const name of names) ports.add({ name, port: 7, address: name === "any" ? undefined : one });
      expect([ports.find(7, one)?.name, ports.find(7, two)?.name, ports.find(8, one)]).toEqual([
        "one",
        "any",
        undefined,
      ]);
    }
  });

  it("exclude only another one to the same address on the same port", () => {
    const ports = bindings();
    ports.check(7, undefined);
    ports.add({ name: "any", port: 7, address: undefined });
    ports.check(7, one);
    ports.add({ name: "one", port: 7, address: one });
    ports.check(7, two);
    ports.check(8, one);
    for (const address of [undefined, ip("10.0.0.1")])
      expect(() => ports.check(7, address)).toThrow(
        expect.objectContaining({ code: "ERR_ADDRESS_IN_USE", message: "port 7 is taken" }),
      );
  });

  it("are counted, and forgotten once removed", () => {
    const ports = bindings();
    const any = { name: "any", port: 7, address: undefined };
    const exact = { name: "one", port: 7, address: one };
    ports.add(any);
    ports.add(exact);
    expect([ports.size, ports.has(7), ports.has(8)]).toEqual([2, true, false]);
    ports.remove(any);
    ports.remove(any);
    ports.remove({ name: "unknown", port: 9, address: undefined });
    expect([ports.size, ports.has(7), ports.find(7, two), ports.find(7, one)]).toEqual([1, true, undefined, exact]);
    ports.remove(exact);
    expect([ports.size, ports.has(7)]).toEqual([0, false]);
  });
});

describe("ports", () => {
  it.each([0, 1, 65_535])("%i is valid where 0 is allowed", (port) => {
    expect(() => checkPort(port, 0)).not.toThrow();
  });

  it.each([
    [-1, 0],
    [0, 1],
    [65_536, 1],
    [1.5, 1],
    [Number.NaN, 0],
  ] as const)("%d is refused where %d is the lowest", (port, lowest) => {
    expect(() => checkPort(port, lowest)).toThrow(
      expect.objectContaining({
        code: "ERR_INVALID_ARGUMENT",
        message: `port ${port} is not between ${lowest} and 65535`,
      }),
    );
  });

  it("of connections are chosen from a random start upwards, around the end of the range", () => {
    const taken = new Set<number>();
    const choose = (random: number): number | undefined => ephemeralPort(random, (port) => taken.has(port));
    expect([choose(0), choose(5), choose(32_767), choose(32_768), choose(0xffffffff)]).toEqual([
      32_768, 32_773, 65_535, 32_768, 65_535,
    ]);
    taken.add(65_535);
    expect(choose(32_767)).toBe(32_768);
    taken.add(32_768);
    expect([choose(32_767), choose(0)]).toEqual([32_769, 32_769]);
    for (let port = 32_768; port < 65_536; port++) taken.add(port);
    expect(choose(1)).toBeUndefined();
    taken.delete(32_768);
    expect(choose(1)).toBe(32_768);
  });
});
