import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { expect, test } from "vitest";
import { senderIsKnown, UnknownSenders } from "./unknown-senders.ts";

class Exchange {
  readonly request = {} as IncomingMessage;
  readonly response = Object.assign(new EventEmitter(), {
    destroyed: false,
    destroy: () => {
      this.isCutOff = true;
    },
  });
  isCutOff = false;
  readonly address: string;

  constructor(senders: UnknownSenders, address: string) {
    this.address = address;
    senders.admit(this.request, this.response as unknown as ServerResponse, address);
  }
}

function setup(total: number, perAddress: number) {
  const senders = new UnknownSenders({ total, perAddress });
  const from = (address: string, count = 1) => Array.from({ length: count }, () => new Exchange(senders, address));
  return { senders, from };
}

test("security 40: slow requests of a few sources do not keep others out: the source with the most gives up its oldest", () => {
  const { senders, from } = setup(7, 4);
  const slow = [...from("192.0.2.1", 3), ...from("192.0.2.2", 4)];
  from("192.0.2.3");
  expect(slow.map(({ isCutOff }) => isCutOff)).toEqual([false, false, false, true, false, false, false]);
  from("192.0.2.4");
  from("192.0.2.5");
  expect(
    slow
      .filter(({ isCutOff }) => isCutOff)
      .map(({ address }) => address)
      .sort(),
  ).toEqual(["192.0.2.1", "192.0.2.2", "192.0.2.2"]);
  expect(senders.count).toBe(7);
});

test("a source that already has as many places as any other gets no more", () => {
  const { from } = setup(4, 4);
  const open = [...from("192.0.2.1", 2), ...from("192.0.2.2", 2)];
  expect(() => from("192.0.2.1")).toThrow("at this server");
  expect(open.some(({ isCutOff }) => isCutOff)).toBe(false);
});

test("addresses of one /56 are one source", () => {
  const { from } = setup(100, 3);
  for (const address of ["2001:db8:0:1200::1", "2001:db8::12ff:0:0:0:1", "2001:db8:0:1234:5::6"]) from(address);
  expect(() => from("2001:db8:0:12ab::1")).toThrow("from this address, at most 3");
  from("2001:db8:0:1300::1");
  from("::ffff:192.0.2.1", 3);
  expect(() => from("192.0.2.1")).toThrow("from this address");
});

test("a place is free once its request is answered, or its sender known, whichever comes first", () => {
  const { senders, from } = setup(10, 10);
  const [answered, known] = [...from("192.0.2.1"), ...from("192.0.2.2")] as [Exchange, Exchange];
  answered.response.emit("close");
  senderIsKnown(known.request);
  expect(senders.count).toBe(0);
  known.response.emit("close");
  senderIsKnown(answered.request);
  senderIsKnown({} as IncomingMessage);
  expect(senders.count).toBe(0);
  const gone = Object.assign(new EventEmitter(), { destroyed: true }) as unknown as ServerResponse;
  senders.admit({} as IncomingMessage, gone, "192.0.2.1");
  expect(senders.count).toBe(0);
});
