import type { IpAddress, IpPrefix } from "../base/ip.ts";

/** A prefix in the trie. Every child's prefix is longer and begins with its parent's. */
interface TrieNode<T> {
  readonly address: Uint8Array;
  readonly bits: number;
  /** Undefined in nodes that only join two branches. */
  value: T | undefined;
  zero: TrieNode<T> | undefined;
  one: TrieNode<T> | undefined;
}

/**
 * Longest-prefix match from address to T, for both families, as a path-compressed binary trie. Each prefix belongs to one
 * value: inserting it again moves it.
 */
export class AllowedIPs<T extends object> {
  #v4: TrieNode<T> | undefined;
  #v6: TrieNode<T> | undefined;

  /** Host bits are ignored. Returns the value that held the prefix before, if another one did. */
  insert(prefix: IpPrefix, value: T): T | undefined {
    const node = this.#nodeFor(maskedAddress(prefix), prefix.bits);
    const before = node.value;
    node.value = value;
    return before === value ? undefined : before;
  }

  /** Removes the prefix if it belongs to `value`. */
  remove(prefix: IpPrefix, value: T): void {
    const address = maskedAddress(prefix);
    if (address.length === 4) this.#v4 = removeFrom(this.#v4, address, prefix.bits, value);
    else this.#v6 = removeFrom(this.#v6, address, prefix.bits, value);
  }

  /** The value of the longest prefix that holds the address in bytes[offset, offset + length); length is 4 or 16. */
  lookup(bytes: Uint8Array, offset: number, length: number): T | undefined {
    let node = length === 4 ? this.#v4 : length === 16 ? this.#v6 : undefined;
    let found: T | undefined;
    let checked = 0; // bits known to match, from the ancestors
    while (node !== undefined) {
      const { bits } = node;
      if (!matches(node.address, bytes, offset, checked, bits)) break;
      if (node.value !== undefined) found = node.value;
      if (bits === length * 8) break;
      checked = bits;
      node = (bytes[offset + (bits >> 3)]! >> (7 - (bits & 7))) & 1 ? node.one : node.zero;
    }
    return found;
  }

  lookupAddress(address: IpAddress): T | undefined {
    return this.lookup(address, 0, address.length);
  }

  /** Finds or makes the node of exactly this prefix. */
  #nodeFor(address: Uint8Array, bits: number): TrieNode<T> {
    const isV4 = address.length === 4;
    let parent: TrieNode<T> | undefined;
    let node = isV4 ? this.#v4 : this.#v6;
    const attach = (child: TrieNode<T>): TrieNode<T> => {
      if (parent !== undefined) setChild(parent, child);
      else if (isV4) this.#v4 = child;
      else this.#v6 = child;
      return child;
    };
    for (;;) {
      if (node === undefined) return attach(leaf(address, bits));
      const common = commonBits(node.address, address, Math.min(node.bits, bits));
      if (common < node.bits) {
        const existing = node;
        if (common === bits) {
          const made = attach(leaf<T>(address, bits));
          setChild(made, existing);
          return made;
        }
        const join = attach(leaf<T>(maskedTo(address, common), common));
        const made = leaf<T>(address, bits);
        setChild(join, existing);
        setChild(join, made);
        return made;
      }
      if (node.bits === bits) return node;
      parent = node;
      node = bitAt(address, node.bits) === 1 ? node.one : node.zero;
    }
  }
}

function removeFrom<T>(
  node: TrieNode<T> | undefined,
  address: Uint8Array,
  bits: number,
  value: T,
): TrieNode<T> | undefined {
  if (node === undefined || node.bits > bits || commonBits(node.address, address, node.bits) < node.bits) return node;
  if (node.bits === bits) {
    if (node.value !== value) return node;
    node.value = undefined;
  } else if (bitAt(address, node.bits) === 1) {
    node.one = removeFrom(node.one, address, bits, value);
  } else {
    node.zero = removeFrom(node.zero, address, bits, value);
  }
  if (node.value !== undefined || (node.zero !== undefined && node.one !== undefined)) return node;
  return node.zero ?? node.one;
}

function leaf<T>(address: Uint8Array, bits: number): TrieNode<T> {
  return { address, bits, value: undefined, zero: undefined, one: undefined };
}

function setChild<T>(parent: TrieNode<T>, child: TrieNode<T>): void {
  if (bitAt(child.address, parent.bits) === 1) parent.one = child;
  else parent.zero = child;
}

function bitAt(address: Uint8Array, bit: number): number {
  return (address[bit >> 3]! >> (7 - (bit & 7))) & 1;
}

/** Whether bits [from, to) agree; `from` may be rounded down to a byte. */
function matches(prefix: Uint8Array, bytes: Uint8Array, offset: number, from: number, to: number): boolean {
  const whole = to >> 3;
  for (let i = from >> 3; i < whole; i++) if (prefix[i] !== bytes[offset + i]) return false;
  const rest = to & 7;
  return rest === 0 || (prefix[whole]! ^ bytes[offset + whole]!) >> (8 - rest) === 0;
}

/** Leading bits in which both agree, at most `limit`. */
function commonBits(a: Uint8Array, b: Uint8Array, limit: number): number {
  for (let i = 0; i * 8 < limit; i++) {
    const difference = a[i]! ^ b[i]!;
    if (difference !== 0) return Math.min(i * 8 + Math.clz32(difference) - 24, limit);
  }
  return limit;
}

function maskedAddress(prefix: IpPrefix): Uint8Array {
  return maskedTo(prefix.address, prefix.bits);
}

/** A copy whose bits from `bits` on are zero. */
function maskedTo(address: Uint8Array, bits: number): Uint8Array {
  const out = address.slice();
  const whole = bits >> 3;
  if (whole < out.length) {
    out[whole] = out[whole]! & (0xff00 >> (bits & 7));
    out.fill(0, whole + 1);
  }
  return out;
}
