import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { addressesIn, neededLookup } from "./needed-lookup.ts";

const signal = new AbortController().signal;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function lookup(sources: {
  signal?: AbortSignal;
  system: (done: (...result: unknown[]) => void) => void;
  nameServers: (until: AbortSignal) => Promise<readonly string[]>;
  family?: number;
  all?: boolean;
}) {
  const done = vi.fn();
  const function_ = neededLookup(sources.signal ?? signal, {
    system: ((_name: string, _options: object, callback: (...result: unknown[]) => void) =>
      sources.system(callback)) as never,
    others: (_name, until) => sources.nameServers(until),
  });
  function_("relay.test", { all: sources.all ?? true, family: sources.family ?? 0 }, done);
  return done;
}

it("takes the answer of the system, and asks no name server while it is quick", async () => {
  const nameServers = vi.fn();
  const done = lookup({ system: (answer) => answer(null, [{ address: "192.0.2.1", family: 4 }]), nameServers });
  await vi.advanceTimersByTimeAsync(10_000);
  expect(done.mock.calls).toEqual([[null, [{ address: "192.0.2.1", family: 4 }], undefined]]);
  expect(nameServers).not.toHaveBeenCalled();
});

it("takes the answer of the name servers while the system hangs, and ignores the system's later one", async () => {
  let late: (...result: unknown[]) => void = () => undefined;
  const done = lookup({
    system: (answer) => {
      late = answer;
    },
    nameServers: async () => ["192.0.2.7", "2001:db8::7"],
  });
  await vi.advanceTimersByTimeAsync(3_999);
  expect(done).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  late(new Error("ENOTFOUND"));
  expect(done.mock.calls).toEqual([
    [
      null,
      [
        { address: "192.0.2.7", family: 4 },
        { address: "2001:db8::7", family: 6 },
      ],
    ],
  ]);
});

it("gives one address of the wanted family if the caller wants only one", async () => {
  const done = lookup({
    system: () => undefined,
    nameServers: async () => ["192.0.2.7", "2001:db8::7"],
    family: 6,
    all: false,
  });
  await vi.advanceTimersByTimeAsync(4_000);
  expect(done.mock.calls).toEqual([[null, "2001:db8::7", 6]]);
});

it.each([
  ["do not know the name", async () => []],
  ["do not answer", () => Promise.reject(new Error("no answer"))],
])("waits for the system if the name servers %s, and ends their query with it", async (_, nameServers) => {
  let late: (...result: unknown[]) => void = () => undefined;
  let asked: AbortSignal | undefined;
  const done = lookup({
    system: (answer) => {
      late = answer;
    },
    nameServers: (until) => {
      asked = until;
      return nameServers();
    },
  });
  await vi.advanceTimersByTimeAsync(5_000);
  expect(done).not.toHaveBeenCalled();
  const failure = new Error("ENOTFOUND");
  late(failure);
  expect(done.mock.calls).toEqual([[failure, undefined, undefined]]);
  expect(asked?.aborted).toBe(true);
});

it("queries nothing further once the connection is no longer wanted", async () => {
  const nameServers = vi.fn();
  const stop = new AbortController();
  lookup({ signal: stop.signal, system: () => undefined, nameServers });
  stop.abort();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(nameServers).not.toHaveBeenCalled();
});

it("reads hosts files", () => {
  const hosts =
    "127.0.0.1 localhost\n# 192.0.2.1 coder.test\n 192.0.2.2\tother Coder.Test # 3\n2001:db8::2 coder.test\nx coder.test\n";
  expect(addressesIn(hosts, "coder.test")).toEqual(["192.0.2.2", "2001:db8::2"]);
  expect(addressesIn(hosts, "coder")).toEqual([]);
});
