import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatPrefix, type IpAddress, type IpPrefix, ip, parsePrefix, prefixContains } from "../base/ip.ts";
import { AllowedIPs } from "./allowed-ips.ts";

interface Owner {
  readonly name: string;
}
const owners: readonly Owner[] = ["a", "b", "c", "d"].map((name) => ({ name }));
const prefix = (text: string): IpPrefix => parsePrefix(text)!;

/** The reference model: a list, searched linearly. */
class PrefixList {
  #entries: { readonly prefix: IpPrefix; readonly owner: Owner }[] = [];
  insert(added: IpPrefix, owner: Owner): void {
    this.#entries = [...this.#entries.filter((entry) => !isSame(entry.prefix, added)), { prefix: added, owner }];
  }
  remove(gone: IpPrefix, owner: Owner): void {
    this.#entries = this.#entries.filter((entry) => entry.owner !== owner || !isSame(entry.prefix, gone));
  }
  lookup(address: IpAddress): Owner | undefined {
    const found = this.#entries.filter((entry) => prefixContains(entry.prefix, address));
    found.sort((x, y) => y.prefix.bits - x.prefix.bits);
    return found[0]?.owner;
  }
}

function isSame(x: IpPrefix, y: IpPrefix): boolean {
  return x.bits === y.bits && prefixContains(x, y.address);
}

/** Addresses that often share long prefixes, so that the trie gets deep. */
function addressOf(width: 4 | 16): fc.Arbitrary<IpAddress> {
  const byte = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(0, 1, 128, 255) }, fc.nat(255));
  return fc.array(byte, { minLength: width, maxLength: width }).map((bytes) => Uint8Array.from(bytes) as IpAddress);
}
const addressArbitrary = fc.oneof(addressOf(4), addressOf(16));
const prefixArbitrary = addressArbitrary.chain((address) =>
  fc.integer({ min: 0, max: address.length * 8 }).map((bits): IpPrefix => ({ address, bits })),
);
const stepArbitrary = fc.record({
  kind: fc.constantFrom("insert", "insert", "remove"),
  prefix: prefixArbitrary,
  owner: fc.constantFrom(...owners),
  reuse: fc.nat(20),
});

describe("AllowedIPs", () => {
  test("behaves like a list that is searched for the longest prefix", () => {
    fc.assert(
      fc.property(
        fc.array(stepArbitrary, { maxLength: 40 }),
        fc.array(addressArbitrary, { maxLength: 20 }),
        (steps, addresses) => {
          const trie = new AllowedIPs<Owner>();
          const twin = new PrefixList();
          const seen: IpPrefix[] = [];
          for (const step of steps) {
            const target =
              step.kind === "remove" ? (seen[step.reuse % (seen.length || 1)] ?? step.prefix) : step.prefix;
            seen.push(target);
            if (step.kind === "insert") {
              trie.insert(target, step.owner);
              twin.insert(target, step.owner);
            } else {
              trie.remove(target, step.owner);
              twin.remove(target, step.owner);
            }
          }
          for (const address of [...addresses, ...seen.map((each) => each.address)]) {
            expect(trie.lookupAddress(address)).toBe(twin.lookup(address));
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test("prefers the longest prefix and keeps the families apart", () => {
    const trie = new AllowedIPs<Owner>();
    const [all, site, host, six] = owners as [Owner, Owner, Owner, Owner];
    trie.insert(prefix("0.0.0.0/0"), all);
    trie.insert(prefix("10.1.0.0/16"), site);
    trie.insert(prefix("10.1.2.3"), host);
    trie.insert(prefix("::/0"), six);
    expect(trie.lookupAddress(ip("10.1.2.3"))).toBe(host);
    expect(trie.lookupAddress(ip("10.1.2.4"))).toBe(site);
    expect(trie.lookupAddress(ip("10.2.0.0"))).toBe(all);
    expect(trie.lookupAddress(ip("::a01:203"))).toBe(six);
  });

  test("returns the peer that lost a prefix, and looks an address up in the middle of a packet", () => {
    const trie = new AllowedIPs<Owner>();
    const [first, second] = owners as [Owner, Owner];
    expect(trie.insert(prefix("10.0.0.7/24"), first)).toBeUndefined();
    expect(trie.insert(prefix("10.0.0.0/24"), first)).toBeUndefined();
    expect(trie.insert(prefix("10.0.0.9/24"), second)).toBe(first);
    trie.remove(prefix("10.0.0.0/24"), first);
    expect(trie.lookup(Uint8Array.of(9, 9, 10, 0, 0, 200, 9), 2, 4)).toBe(second);
    trie.remove(prefix("10.0.0.0/24"), second);
    expect(trie.lookup(Uint8Array.of(9, 9, 10, 0, 0, 200, 9), 2, 4)).toBeUndefined();
    expect(trie.lookup(new Uint8Array(8), 0, 5)).toBeUndefined();
  });

  test(`finds each of a thousand ${formatPrefix(prefix("fd00::/128"))} peers`, () => {
    const trie = new AllowedIPs<{ readonly n: number }>();
    const addressOfPeer = (n: number) => ip(`fd00:${((n * 7919) & 0xffff).toString(16)}::${n.toString(16)}`);
    for (let n = 0; n < 1000; n++) trie.insert({ address: addressOfPeer(n), bits: 128 }, { n });
    for (let n = 0; n < 1000; n++) expect(trie.lookupAddress(addressOfPeer(n))?.n).toBe(n);
    expect(trie.lookupAddress(ip("fd00::ffff"))).toBeUndefined();
  });
});
