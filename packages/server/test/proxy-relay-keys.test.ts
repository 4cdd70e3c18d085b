/** How a proxy learns which node keys may use its relay. */
import { PROXY_TOKEN_HEADER, relayKeysMessage } from "coder-protocol/rest/workspace-proxies";
import { expect, test, vi } from "vitest";
import { hexEncode } from "wg-userspace/base/bytes";
import { AccessEvents } from "../src/auth/access-events.ts";
import { elsewhere } from "../src/base/domain-error.ts";
import type { TextSocket } from "../src/base/text-sockets.ts";
import { ProbeKeys } from "../src/relay/probe-keys.ts";
import { healthOf } from "../src/workspace-proxies/health-state.ts";
import { RelayKeysStream } from "../src/workspace-proxies/relay-keys-stream.ts";
import { openSocket, openSocketOrFail, send } from "./helpers.ts";
import { nodeOf, TestPeer } from "./peers.ts";
import { createProxy, FakeProxy, PROXIES, proxyDeployment, until } from "./proxies.ts";

const hex = (fill: number) => Buffer.alloc(32, fill).toString("hex");

test("all keys come first, then those that peers announce and those whose right has ended", async () => {
  await using at = await proxyDeployment();
  const { token } = await createProxy(at, "near");
  const reader = await openSocketOrFail(at.url, `${PROXIES}/me/relay-keys`, { [PROXY_TOKEN_HEADER]: token });
  // A server on PostgreSQL also checks its own health and lends keys for that; the test ignores those.
  const own = new Set([hex(9)]);
  const next = async () => {
    for (;;) {
      const { add, remove, ...rest } = relayKeysMessage.parse(JSON.parse((await reader.next()) ?? ""));
      const message = { ...rest, add: add.filter((key) => own.has(key)), remove: remove.filter((key) => own.has(key)) };
      if (message.snapshot || message.add.length + message.remove.length > 0) return message;
    }
  };
  expect(await next()).toEqual({ snapshot: true, add: [], remove: [] });

  await using client = await TestPeer.open(at.url, at.token, "/api/v2/tailnet");
  client.send({ updateSelf: { node: nodeOf({ id: 5n, fill: 9, addresses: ["fd7a:115c:a1e0:1::5"] }) } });
  expect(await next()).toEqual({ add: [hex(9)], remove: [] });
  const second = await openSocketOrFail(at.url, `${PROXIES}/me/relay-keys`, { [PROXY_TOKEN_HEADER]: token });
  expect(JSON.parse((await second.next()) ?? "")).toMatchObject({
    snapshot: true,
    add: expect.arrayContaining([hex(9)]),
  });

  const probe = at.server.parts.probeKeys.lend();
  const probeKey = Buffer.from(probe.publicKey).toString("hex");
  own.add(probeKey);
  expect(await next()).toEqual({ add: [probeKey], remove: [] });
  probe.giveBack();
  expect(await next()).toEqual({ add: [], remove: [probeKey] });

  at.server.parts.control.coordinator.revoke(() => true, "the test ends it", Date.now());
  expect(await next()).toEqual({ add: [], remove: [hex(9)] });
  for (const { socket } of [reader, second]) socket.terminate();
});

test("a proxy that sends something is disconnected", async () => {
  await using at = await proxyDeployment();
  const { token } = await createProxy(at, "near");
  const reader = await openSocketOrFail(at.url, `${PROXIES}/me/relay-keys`, { [PROXY_TOKEN_HEADER]: token });
  reader.socket.send("{}");
  expect(await reader.closed).toBe(1002);
});

test("the keys of another server's checks are named for a minute", async () => {
  const lent: string[] = [];
  const keys = new ProbeKeys();
  keys.guard({
    admitHeld: (publicKey) => lent.push(`+${hexEncode(publicKey)}`),
    revoke: (publicKey) => lent.push(`-${hexEncode(publicKey)}`),
  });
  vi.useFakeTimers();
  try {
    keys.lentBySibling(hex(1));
    vi.advanceTimersByTime(30_000);
    keys.lentBySibling(hex(2));
    expect([lent, keys.list()]).toEqual([
      [`+${hex(1)}`, `+${hex(2)}`],
      [hex(1), hex(2)],
    ]);
    vi.advanceTimersByTime(30_000);
    expect([lent.slice(2), keys.list()]).toEqual([[`-${hex(1)}`], [hex(2)]]);
    vi.advanceTimersByTime(30_000);
    expect([lent.slice(3), keys.list()]).toEqual([[`-${hex(2)}`], []]);
  } finally {
    vi.useRealTimers();
    keys.close();
  }
});

test("a server that accepts no new connections refuses the stream, and ends open ones before keys leave", async () => {
  await using at = await proxyDeployment();
  const { token } = await createProxy(at, "near");
  const open = () => openSocket(at.url, `${PROXIES}/me/relay-keys`, { [PROXY_TOKEN_HEADER]: token });
  const reader = await openSocketOrFail(at.url, `${PROXIES}/me/relay-keys`, { [PROXY_TOKEN_HEADER]: token });
  const { control, proxies } = at.server.parts;
  control.refuse("isolated", () => elsewhere("its database does not answer"));
  proxies.relayKeys.endAll("coordinator unhealthy");
  proxies.relayKeys.revoke(Buffer.alloc(32, 9));
  expect(await reader.next()).toContain("snapshot");
  expect(await reader.next()).toBeUndefined();
  expect([await reader.closed, await open()]).toMatchObject([1013, { status: 503 }]);
  control.refuse("isolated", undefined);
  const again = await openSocketOrFail(at.url, `${PROXIES}/me/relay-keys`, { [PROXY_TOKEN_HEADER]: token });
  again.socket.terminate();
});

test("a proxy whose stream ends is checked at once, whatever the interval", async () => {
  await using at = await proxyDeployment({ "proxy-health-interval": "1h" });
  const process = await FakeProxy.start();
  const { id, token } = await createProxy(at, "near");
  await process.register(at, token);
  const status = () => {
    const row = at.server.parts.proxies.directory.all.find((proxy) => proxy.id === id);
    return row === undefined ? undefined : healthOf(row).status;
  };
  await until(at, () => status() === "ok");
  const reader = await openSocketOrFail(at.url, `${PROXIES}/me/relay-keys`, { [PROXY_TOKEN_HEADER]: token });
  await process[Symbol.asyncDispose]();
  expect(status()).toBe("ok");
  reader.socket.terminate();
  await until(at, () => status() === "unreachable");
});

test("a stream of relay keys ends even if the event that ended its token was missed", async () => {
  await using at = await proxyDeployment({}, { recheckMs: 20 });
  const { id, token } = await createProxy(at, "near");
  const reader = await openSocketOrFail(at.url, `${PROXIES}/me/relay-keys`, { [PROXY_TOKEN_HEADER]: token });
  await reader.next();
  await at.server.parts.store.workspaceProxies.update(id, { token_generation: 2 }); // without an event
  expect(await reader.closed).toBe(1008);
});

test("one proxy takes no stream from another, nor from users", async () => {
  await using at = await proxyDeployment({}, { proxyStreams: { total: 3, perUser: 2 }, webSockets: { total: 0 } });
  const path = `${PROXIES}/me/relay-keys`;
  const [one, other] = [await createProxy(at, "one"), await createProxy(at, "other")];
  const readers = [
    await openSocketOrFail(at.url, path, { [PROXY_TOKEN_HEADER]: one.token }),
    await openSocketOrFail(at.url, path, { [PROXY_TOKEN_HEADER]: one.token }),
  ];
  expect(await openSocket(at.url, path, { [PROXY_TOKEN_HEADER]: one.token })).toMatchObject({ status: 429 });
  readers.push(await openSocketOrFail(at.url, path, { [PROXY_TOKEN_HEADER]: other.token }));
  for (const { socket } of readers) socket.terminate();
});

test("a request that lost its Upgrade header on the way gets an answer that says so", async () => {
  await using at = await proxyDeployment();
  const { token } = await createProxy(at, "near");
  const answer = await send(at.url, "GET", `${PROXIES}/me/relay-keys`, { headers: { [PROXY_TOKEN_HEADER]: token } });
  expect(answer.status).toBe(426);
});

/** A socket that sends its messages only when the test says so. */
class SlowSocket {
  readonly messages: ReturnType<typeof relayKeysMessage.parse>[] = [];
  readonly closes: number[] = [];
  #written: (() => void) | undefined;

  send(message: string, written?: () => void): void {
    this.messages.push(relayKeysMessage.parse(JSON.parse(message)));
    this.#written = written;
  }
  async drain(): Promise<void> {
    const written = this.#written;
    this.#written = undefined;
    written?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  onClose(): void {}
  onMessage(): void {}
  close(code: number): void {
    this.closes.push(code);
  }
}

function following(keys: readonly string[]) {
  const socket = new SlowSocket();
  const stream = new RelayKeysStream(() => keys, new AccessEvents());
  stream.follow(socket as unknown as TextSocket, "proxy");
  return { socket, stream };
}
const key = (at: number) => at.toString(16).padStart(64, "0");
const bytes = (at: number) => Buffer.from(key(at), "hex");

test("a large set is sent in several messages, one in flight at a time, and changes follow it", async () => {
  const keys = Array.from({ length: 10_000 }, (_, at) => key(at));
  const { socket, stream } = following(keys);
  stream.revoke(bytes(3));
  stream.admitHeld(bytes(10_000));
  expect(socket.messages).toHaveLength(1);
  for (let at = 0; at < 6; at++) await socket.drain();
  expect(socket.messages.map(({ snapshot, more, add }) => [snapshot, more, add.length])).toEqual([
    [true, true, 4_096],
    [undefined, true, 4_096],
    [undefined, undefined, 1_808],
    [undefined, undefined, 1],
  ]);
  expect(socket.messages.slice(0, 3).flatMap(({ add }) => add)).toEqual(keys);
  expect(socket.messages[3]).toEqual({ add: [key(10_000)], remove: [key(3)] });
});

test("streams that open before the next change share one list", () => {
  let lists = 0;
  const stream = new RelayKeysStream(() => {
    lists++;
    return [];
  }, new AccessEvents());
  const follow = () => stream.follow(new SlowSocket() as unknown as TextSocket, "proxy");
  follow();
  follow();
  expect(lists).toBe(1);
  stream.admitHeld(bytes(1));
  follow();
  expect(lists).toBe(2);
});

test("of changes while a message is in flight, only the latest of each key is sent", async () => {
  const { socket, stream } = following([]);
  stream.admitHeld(bytes(1));
  stream.revoke(bytes(1));
  stream.revoke(bytes(2));
  stream.admitHeld(bytes(2));
  await socket.drain();
  await socket.drain();
  expect(socket.messages[1]).toEqual({ add: [key(2)], remove: [key(1)] });
  expect(socket.messages).toHaveLength(2);
});

test("a proxy that is too far behind is disconnected", () => {
  const { socket, stream } = following([]);
  for (let at = 0; at < 100_001; at++) stream.admitHeld(bytes(at));
  expect(socket.closes[0]).toBe(1013);
});
