import { describe, expect, test } from "vitest";
import { memoryOf } from "../../test/scenarios/tcp-harness.ts";
import { type AddrPort, formatAddrPort, type IpAddress, ip } from "../base/ip.ts";
import { LinkRandom } from "../testing/link.ts";
import { ConnectionTable } from "./connection-table.ts";

/** Looks up as the stack does: addresses at an offset in a packet. */
function find<T>(table: ConnectionTable<T>, local: AddrPort, remote: AddrPort): T | undefined {
  const length = remote.address.length;
  const bytes = new Uint8Array(7 + 2 * length).fill(0xa5);
  bytes.set(remote.address, 5);
  bytes.set(local.address, 7 + length);
  return table.find(memoryOf(bytes), 7 + length, 5, length, local.port, remote.port);
}

function address(random: LinkRandom, v6: boolean): IpAddress {
  const last = random.uint32() % 4;
  return v6 ? ip(`fd00::${last}`) : ip(`10.0.0.${last}`);
}

describe("the table of connections", () => {
  test("finds what a plain map finds, from a few entries to thousands and back", () => {
    const random = new LinkRandom(7);
    const table = new ConnectionTable<number>(random.uint32());
    const twin = new Map<string, { value: number; local: AddrPort; remote: AddrPort }>();
    const pick = () => {
      const v6 = random.uint32() % 2 === 0;
      return {
        local: { address: address(random, v6), port: 80 + (random.uint32() % 3) },
        remote: { address: address(random, v6), port: 1 + (random.uint32() % 300) },
      };
    };
    const nameOf = ({ local, remote }: { local: AddrPort; remote: AddrPort }) =>
      `${formatAddrPort(local)} ${formatAddrPort(remote)}`;
    for (let i = 0; i < 6_000; i++) {
      const tuple = pick();
      const known = twin.get(nameOf(tuple));
      expect([find(table, tuple.local, tuple.remote), table.has(tuple.local, tuple.remote)]).toEqual([
        known?.value,
        known !== undefined,
      ]);
      if (known === undefined && i < 4_500) {
        table.add(i, tuple.local, tuple.remote);
        twin.set(nameOf(tuple), { ...tuple, value: i });
      } else if (known !== undefined && random.uint32() % 2 === 0) {
        expect(table.delete(known.value, tuple.local, tuple.remote)).toBe(true);
        twin.delete(nameOf(tuple));
      }
      expect(table.size).toBe(twin.size);
    }
    const all: number[] = [];
    table.forEach((value) => void all.push(value));
    const byNumber = (a: number, b: number) => a - b;
    expect(all.sort(byNumber)).toEqual([...twin.values()].map(({ value }) => value).sort(byNumber));
    for (const { value, local, remote } of twin.values()) {
      expect(find(table, local, remote)).toBe(value);
      expect(table.delete(value, local, remote)).toBe(true);
      expect(find(table, local, remote)).toBeUndefined();
    }
    expect(table.size).toBe(0);
  });

  test("each of the four values decides, and every byte of the addresses", () => {
    for (const [own, peer] of [
      ["10.0.0.1", "10.0.0.2"],
      ["fd00::1", "fd00::2"],
    ] as const) {
      const table = new ConnectionTable<string>(3);
      const local = { address: ip(own), port: 80 };
      const remote = { address: ip(peer), port: 4000 };
      table.add("it", local, remote);
      expect(find(table, local, remote)).toBe("it");
      expect(find(table, { ...local, port: 81 }, remote)).toBeUndefined();
      expect(find(table, local, { ...remote, port: 4001 })).toBeUndefined();
      for (const end of ["local", "remote"] as const)
        for (let at = 0; at < local.address.length; at++) {
          const tuple = { local: { ...local }, remote: { ...remote } };
          const other = tuple[end].address.slice() as IpAddress;
          other[at] = other[at]! ^ 1;
          tuple[end].address = other;
          expect(find(table, tuple.local, tuple.remote)).toBeUndefined();
          expect(table.has(tuple.local, tuple.remote)).toBe(false);
        }
    }
  });

  test("an owner removes itself only", () => {
    const table = new ConnectionTable<string>(3);
    const local = { address: ip("fd00::1"), port: 80 };
    const remote = { address: ip("fd00::2"), port: 4000 };
    expect(table.delete("nobody", local, remote)).toBe(false);
    table.add("successor", local, remote);
    expect([table.delete("predecessor", local, remote), table.size]).toEqual([false, 1]);
    expect([table.delete("successor", local, remote), table.size]).toEqual([true, 0]);
  });
});
