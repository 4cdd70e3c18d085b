import { EventEmitter } from "node:events";
import type { LookupFunction, Socket } from "node:net";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { connectHost } from "./connect-host.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

class Attempt extends EventEmitter {
  destroyed = false;
  destroy(): void {
    this.destroyed = true;
  }
}

/** A host with these addresses, and what is tried. */
function dial(addresses: readonly string[], { host = "coder.test", signal = new AbortController().signal } = {}) {
  const tried = new Map<string, Attempt>();
  const lookup: LookupFunction = (_name, _options, done) =>
    done(
      null,
      addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
    );
  const connect = ({ host: address }: { host: string }): Socket => {
    const attempt = new Attempt();
    tried.set(address, attempt);
    return attempt as unknown as Socket;
  };
  const connecting = connectHost({ host, port: 443, lookup, signal, connect });
  connecting.catch(() => undefined); // awaited by the tests
  const addressOf = (socket: Socket) => [...tried].find(([, one]) => one === (socket as unknown))?.[0];
  return { tried, connecting, addressOf, order: () => [...tried.keys()] };
}
const turn = () => vi.advanceTimersByTimeAsync(0);

it("a slow address is not given up for one that leads nowhere", async () => {
  const { tried, connecting, addressOf } = dial(["192.0.2.1", "2001:db8::1"]);
  await vi.advanceTimersByTimeAsync(250);
  tried.get("2001:db8::1")!.emit("error", new Error("ENETUNREACH"));
  await vi.advanceTimersByTimeAsync(350);
  tried.get("192.0.2.1")!.emit("connect");
  expect(addressOf(await connecting)).toBe("192.0.2.1");
  expect(tried.get("192.0.2.1")!.destroyed).toBe(false);
  expect(vi.getTimerCount()).toBe(0);
});

it("families are tried in turn, 250 ms apart, and the first that answers ends the others", async () => {
  const { tried, connecting, addressOf, order } = dial(["2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.1"]);
  await turn();
  expect(order()).toEqual(["2001:db8::1"]);
  await vi.advanceTimersByTimeAsync(249);
  expect(order()).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(order()).toEqual(["2001:db8::1", "192.0.2.1"]);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(order()).toEqual(["2001:db8::1", "192.0.2.1", "2001:db8::2"]);
  tried.get("192.0.2.1")!.emit("connect");
  expect(addressOf(await connecting)).toBe("192.0.2.1");
  expect([...tried.values()].map(({ destroyed }) => destroyed)).toEqual([true, false, true]);
  tried.get("2001:db8::1")!.emit("error", new Error("late"));
});

it("an address that fails is followed by the next at once", async () => {
  const { tried, connecting, addressOf, order } = dial(["192.0.2.1", "192.0.2.2"]);
  await turn();
  tried.get("192.0.2.1")!.emit("error", new Error("refused"));
  expect(order()).toHaveLength(2);
  tried.get("192.0.2.2")!.emit("connect");
  expect(addressOf(await connecting)).toBe("192.0.2.2");
});

it("fails with the error of the only address, or with all", async () => {
  const one = dial([], { host: "192.0.2.1" });
  await turn();
  one.tried.get("192.0.2.1")!.emit("error", new Error("refused"));
  await expect(one.connecting).rejects.toThrow("refused");
  const two = dial(["192.0.2.1", "192.0.2.2"]);
  await turn();
  for (const address of two.order()) two.tried.get(address)!.emit("error", new Error(address));
  two.tried.get("192.0.2.2")!.emit("error", new Error("192.0.2.2"));
  await expect(two.connecting).rejects.toMatchObject({ errors: [{ message: "192.0.2.1" }, { message: "192.0.2.2" }] });
  await expect(dial([]).connecting).rejects.toMatchObject({ code: "ENOTFOUND" });
});

it("the signal ends every attempt", async () => {
  const stop = new AbortController();
  const { tried, connecting } = dial(["192.0.2.1", "192.0.2.2"], { signal: stop.signal });
  await vi.advanceTimersByTimeAsync(250);
  stop.abort(new Error("given up"));
  await expect(connecting).rejects.toThrow("given up");
  expect([...tried.values()].map(({ destroyed }) => destroyed)).toEqual([true, true]);
  expect(vi.getTimerCount()).toBe(0);
});
