import fc from "fast-check";
import { expect, it } from "vitest";
import { hexDecode, hexEncode } from "../base/bytes.ts";
import { formatAddrPort, ip, parseAddrPort } from "../base/ip.ts";
import {
  encodeBindingRequest,
  encodeBindingResponse,
  looksLikeStun,
  parseBindingRequest,
  parseBindingResponse,
} from "./message.ts";

const ID = Uint8Array.from({ length: 12 }, (_, i) => i + 1);

it("writes the request of the specification's vector", () => {
  expect(hexEncode(encodeBindingRequest(ID))).toBe(
    "000100142112a4420102030405060708090a0b0c802200087461696c6e6f646580280004b32c370f",
  );
});

it("writes and reads the response of the specification's vector", () => {
  const bytes = encodeBindingResponse(ID, parseAddrPort("192.0.2.1:32853")!);
  expect(hexEncode(bytes)).toBe("0101000c2112a4420102030405060708090a0b0c002000080001a147e112a643");
  expect(formatAddrPort(parseBindingResponse(bytes)!.mapped)).toBe("192.0.2.1:32853");
});

// RFC 5769 §2.2 and §2.3: their attributes SOFTWARE, XOR-MAPPED-ADDRESS, MESSAGE-INTEGRITY, FINGERPRINT.
it("security 30: reads the responses of RFC 5769", () => {
  const v4 = hexDecode(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96",
  );
  const v6 = hexDecode(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c",
  );
  expect(formatAddrPort(parseBindingResponse(v4)!.mapped)).toBe("192.0.2.1:32853");
  expect(formatAddrPort(parseBindingResponse(v6)!.mapped)).toBe("[2001:db8:1234:5678:11:2233:4455:6677]:32853");
});

it("reads MAPPED-ADDRESS where there is no XORed one, and gives IPv4-mapped addresses as IPv4", () => {
  const plain = hexDecode(`0101000c2112a4420102030405060708090a0b0c00010008000104d2c0000201`);
  expect(formatAddrPort(parseBindingResponse(plain)!.mapped)).toBe("192.0.2.1:1234");
  const mapped = encodeBindingResponse(ID, { address: ip("::ffff:192.0.2.7"), port: 9 });
  expect(formatAddrPort(parseBindingResponse(mapped)!.mapped)).toBe("192.0.2.7:9");
});

it("recognises its own request, and a plain one of the RFC", () => {
  expect(parseBindingRequest(encodeBindingRequest(ID))).toEqual({ transactionId: ID, fingerprinted: true });
  const plain = hexDecode("000100002112a4420102030405060708090a0b0c");
  expect(parseBindingRequest(plain)).toEqual({ transactionId: ID, fingerprinted: false });
});

it("refuses a request with a wrong fingerprint, trailing bytes, a wrong length or another method", () => {
  const good = encodeBindingRequest(ID);
  const changed = (at: number, value: number): Uint8Array => {
    const copy = good.slice();
    copy[at] = value;
    return copy;
  };
  for (const bad of [
    changed(39, 0),
    changed(1, 2),
    changed(3, 0x18),
    changed(4, 0),
    good.subarray(0, 39),
    Uint8Array.of(...good, 0),
  ])
    expect(parseBindingRequest(bad)).toBeUndefined();
});

it("a request with any bit changed is refused, or at least no longer passes as fingerprinted", () => {
  const good = encodeBindingRequest(ID);
  for (let bit = 0; bit < good.length * 8; bit++) {
    const copy = good.slice();
    copy[bit >> 3]! ^= 1 << (bit & 7);
    expect(parseBindingRequest(copy)?.fingerprinted ?? false, `bit ${bit}`).toBe(false);
  }
});

/** A message of `type` with these attributes, each `[type, value]`, padded to words; `over` is added to the length field. */
function message(type: number, attributes: readonly (readonly [number, string])[], over = 0): Uint8Array {
  const body = attributes.flatMap(([attribute, value]) => {
    const bytes = [...hexDecode(value)];
    const padding = new Array<number>((4 - (bytes.length % 4)) % 4).fill(0);
    return [attribute >> 8, attribute & 255, bytes.length >> 8, bytes.length & 255, ...bytes, ...padding];
  });
  const length = body.length + over;
  return Uint8Array.of(type >> 8, type & 255, length >> 8, length & 255, 0x21, 0x12, 0xa4, 0x42, ...ID, ...body);
}
const PLAIN = [0x0001, "000104d2c0000201"] as const;
const FILLER = [0x8022, "61"] as const;
const mappedOf = (bytes: Uint8Array): string | undefined => {
  const read = parseBindingResponse(bytes);
  return read && formatAddrPort(read.mapped);
};

it("STUN is distinguished from other datagrams by length, first two bits and cookie, each on its own", () => {
  const good = message(0x0001, []);
  expect(looksLikeStun(good)).toBe(true);
  expect(looksLikeStun(good.subarray(0, 19))).toBe(false);
  for (const first of [0x40, 0x80, 0xc0]) expect(looksLikeStun(Uint8Array.of(first, ...good.subarray(1)))).toBe(false);
  for (let at = 4; at < 8; at++) expect(looksLikeStun(good.with(at, good[at]! ^ 1)), `byte ${at}`).toBe(false);
});

it("a FINGERPRINT counts only as the last attribute, with the length it must have", () => {
  const good = encodeBindingRequest(ID);
  const withLength = (length: number): Uint8Array => good.with(35, length);
  expect(parseBindingRequest(withLength(3))).toBeUndefined();
  expect(parseBindingRequest(withLength(5))).toBeUndefined();
  const followed = Uint8Array.of(...good, ...message(0x0001, [FILLER]).subarray(20));
  followed[3] = followed.length - 20;
  expect(parseBindingRequest(followed)).toBeUndefined();
});

it("a length that is not a whole number of words is malformed, and so is another message type", () => {
  const odd = Uint8Array.of(...message(0x0001, [FILLER]), 0x80, 0x22);
  odd[3] = odd.length - 20;
  expect(parseBindingRequest(odd)).toBeUndefined();
  for (const type of [0x0101, 0x0111, 0x0003, 0x0011]) expect(parseBindingRequest(message(type, []))).toBeUndefined();
  for (const type of [0x0001, 0x0111, 0x0103, 0x0011]) expect(mappedOf(message(type, [PLAIN]))).toBeUndefined();
});

it("a response may be followed by other bytes, but not be cut off", () => {
  const good = message(0x0101, [PLAIN]);
  expect(mappedOf(Uint8Array.of(...good, 1, 2, 3))).toBe("192.0.2.1:1234");
  expect(mappedOf(good.subarray(0, good.length - 1))).toBeUndefined();
  expect(mappedOf(message(0x0101, [PLAIN], 4))).toBeUndefined();
  expect(mappedOf(message(0x0101, [FILLER]))).toBeUndefined();
});

it("an attribute that reaches beyond the message is malformed, also by its header alone", () => {
  const long = message(0x0101, [PLAIN, FILLER]);
  long[long.length - 5] = 5; // the value is 4 bytes with its padding
  expect(mappedOf(long)).toBeUndefined();
  const header = Uint8Array.of(...message(0x0101, [PLAIN]), 0x80, 0x22);
  header[3] = header.length - 20;
  expect(mappedOf(header)).toBeUndefined();
});

it("at most 32 attributes are read, and one more makes the message malformed", () => {
  const fillers = (count: number): (readonly [number, string])[] => new Array(count).fill(FILLER);
  expect(mappedOf(message(0x0101, [...fillers(31), PLAIN]))).toBe("192.0.2.1:1234");
  expect(mappedOf(message(0x0101, [PLAIN, ...fillers(32)]))).toBeUndefined();
  expect(parseBindingRequest(message(0x0001, fillers(32)))).toBeDefined();
  expect(parseBindingRequest(message(0x0001, fillers(33)))).toBeUndefined();
});

it("an address needs a known family and exactly its length; the first good one of a kind counts", () => {
  for (const value of [
    "000004d2c0000201",
    "000304d2c0000201",
    "000104d2c00002",
    "000104d2c000020100",
    "000204d2c0000201",
  ])
    expect(mappedOf(message(0x0101, [[0x0001, value]])), value).toBeUndefined();
  const unknownFamily = [0x0001, "000304d2c0000201"] as const;
  expect(mappedOf(message(0x0101, [unknownFamily, PLAIN]))).toBe("192.0.2.1:1234");
  expect(mappedOf(message(0x0101, [PLAIN, [0x0001, "000104d2c0000203"]]))).toBe("192.0.2.1:1234");
});

it("the XORed address wins over the plain one wherever it stands, also under its draft number", () => {
  for (const type of [0x0020, 0x8020]) {
    const exact = [type, "0001a147e112a643"] as const;
    for (const attributes of [
      [PLAIN, exact],
      [exact, PLAIN],
    ])
      expect(mappedOf(message(0x0101, attributes))).toBe("192.0.2.1:32853");
  }
  // Other attributes are no addresses, whatever they contain.
  expect(mappedOf(message(0x0101, [[0x8023, "0001a147e112a643"]]))).toBeUndefined();
});

it("only ::ffff:0:0/96 is an IPv4 address mapped into IPv6", () => {
  const prefix = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
  for (let at = 0; at < 12; at++) {
    const address = Uint8Array.of(...prefix, 192, 0, 2, 7);
    address[at]! ^= 1;
    const read = parseBindingResponse(encodeBindingResponse(ID, { address: address as never, port: 9 }))!;
    expect([...read.mapped.address], `byte ${at}`).toEqual([...address]);
  }
});

it("a transaction id of another length is refused before anything is written", () => {
  for (const length of [11, 13])
    expect(() => encodeBindingRequest(new Uint8Array(length))).toThrow(/12 bytes, got 1[13]/);
});

it("every address and port survives encoding and decoding", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  );
  fc.assert(
    fc.property(bytes, fc.integer({ min: 0, max: 65535 }), (address, port) => {
      fc.pre(!(address.length === 16 && address.subarray(0, 12).every((byte, i) => byte === (i < 10 ? 0 : 255))));
      const read = parseBindingResponse(encodeBindingResponse(ID, { address: address as never, port }))!;
      expect([...read.mapped.address, read.mapped.port]).toEqual([...address, port]);
    }),
  );
});

it("security 42: no bytes make a parser throw", () => {
  const noise = fc
    .uint8Array({ maxLength: 200 })
    .map((tail) => Uint8Array.of(...encodeBindingRequest(ID).subarray(0, 20), ...tail));
  fc.assert(
    fc.property(fc.oneof(noise, fc.uint8Array({ maxLength: 200 })), fc.boolean(), (datagram, response) => {
      if (response && datagram.length > 4) datagram.set([1, 1, 0, Math.max(0, datagram.length - 20) & 255]);
      parseBindingRequest(datagram);
      parseBindingResponse(datagram);
      looksLikeStun(datagram);
    }),
  );
});

it("reading leaves a Buffer as it was, so that two listeners read the same", () => {
  const buffer = Buffer.from(encodeBindingResponse(ID, parseAddrPort("198.18.0.2:41641")!));
  for (let i = 0; i < 2; i++) expect(formatAddrPort(parseBindingResponse(buffer)!.mapped)).toBe("198.18.0.2:41641");
});
