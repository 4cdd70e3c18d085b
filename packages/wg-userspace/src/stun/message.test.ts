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
it("reads the responses of RFC 5769", () => {
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

it("every address and port survives the way there and back", () => {
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

it("no bytes make a parser throw", () => {
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
