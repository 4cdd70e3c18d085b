import { setImmediate as nextTurn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { Link, type LinkOptions, seededCut } from "../../test/link.ts";
import { Agent, Lifecycle_State } from "../gen/agent_pb.ts";
import { CoordinateResponse_PeerUpdate_Kind, CoordinateResponseSchema, Tailnet } from "../gen/tailnet_pb.ts";
import { ByteQueue } from "../yamux/byte-queue.ts";
import type { YamuxStream } from "../yamux/stream.ts";
import { createRpcSession, DrpcError, implement, type RpcServiceImpl, type RpcSession, serveRpc } from "./async.ts";
import { startCall } from "./client.ts";
import { encodeText, PacketKind, writePacket } from "./frame.ts";
import { serveDrpc } from "./server.ts";

interface Both {
  readonly link: Link;
  readonly rpc: RpcSession;
  readonly errors: unknown[];
}

function serve(services: readonly RpcServiceImpl[], options: LinkOptions = {}): Both {
  const link = new Link(options);
  const errors: unknown[] = [];
  serveRpc(link.server, services, { onError: (error) => errors.push(error) });
  const rpc = createRpcSession(link.client);
  link.runAutomatically();
  return { link, rpc, errors };
}

async function failureOf(promise: Promise<unknown>): Promise<DrpcError> {
  const error = await promise.then(
    () => new Error("it did not fail"),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DrpcError);
  return error as DrpcError;
}

async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await nextTurn();
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; !condition(); i++) {
    if (i > 10_000) throw new Error("it never happened");
    await nextTurn();
  }
}

/** A MiB of submessages without content. */
function full(...unit: readonly number[]): Uint8Array {
  return Uint8Array.from({ length: 1024 * 1024 }, (_, at) => unit[at % unit.length]!);
}
const EMPTY_LOGS = full(0x12, 0);
const EMPTY_SCRIPTS = full(0x52, 0);
const EMPTY_REGIONS = full(0x12, 2, 0x12, 0);

async function first(rpc: RpcSession): Promise<unknown> {
  for await (const message of rpc.serverStream(Tailnet.method.streamDERPMaps, {})) return message;
  return undefined;
}

describe("unary calls", () => {
  test("a request goes out typed and its answer comes back typed", async () => {
    const { rpc, link } = serve([
      implement(Agent, {
        updateLifecycle: async (request) => ({ state: request.lifecycle?.state ?? Lifecycle_State.OFF }),
      }),
    ]);
    const answer = await rpc.unary(Agent.method.updateLifecycle, { lifecycle: { state: Lifecycle_State.READY } });
    expect(answer.state).toBe(Lifecycle_State.READY);
    await turns();
    expect([link.client.streamCount, link.server.streamCount]).toEqual([0, 0]);
  });

  test("100 calls at once, answered in another order, each get their own answer", async () => {
    const { rpc, link } = serve(
      [
        implement(Agent, {
          updateStartup: async (request) => {
            const number = Number(request.startup?.version);
            await turns(101 - number);
            return { version: `${number * 2}`, expandedDirectory: "d".repeat(number * 300) };
          },
        }),
      ],
      { cut: seededCut(42, 5_000) },
    );
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) => rpc.unary(Agent.method.updateStartup, { startup: { version: `${i}` } })),
    );
    expect(answers.map((answer) => [Number(answer.version), answer.expandedDirectory.length])).toEqual(
      Array.from({ length: 100 }, (_, i) => [2 * i, 300 * i]),
    );
    await turns();
    expect([link.client.streamCount, link.server.streamCount]).toEqual([0, 0]);
  });

  test("requests of megabytes arrive whole, in pieces of any size", async () => {
    const { rpc } = serve(
      [
        implement(Agent, {
          batchCreateLogs: async (request) => ({ logLimitExceeded: request.logs[0]?.output === "x".repeat(3_000_000) }),
        }),
      ],
      { cut: seededCut(7, 60_000) },
    );
    const answer = await rpc.unary(Agent.method.batchCreateLogs, { logs: [{ output: "x".repeat(3_000_000) }] });
    expect(answer.logLimitExceeded).toBe(true);
  });

  test("a message above the peer's limit is refused before it is sent", async () => {
    const { rpc } = serve([]);
    const error = await failureOf(
      rpc.unary(Agent.method.batchCreateLogs, { logs: [{ output: "x".repeat(4_200_000) }] }),
    );
    expect(error).toMatchObject({ reason: "overflow", code: -1 });
  });

  test("a method known but not offered is code 12, even the newest; an unknown one is code 0 with the text that Go looks for", async () => {
    const { rpc } = serve([implement(Agent, {})]);
    expect(await failureOf(rpc.unary(Agent.method.pushContextState, {}))).toMatchObject({ code: 12, reason: "remote" });
    expect(await failureOf(rpc.unary(Agent.method.createSubAgent, {}))).toMatchObject({ code: 12 });
    const unknown = await failureOf(rpc.unary(Tailnet.method.refreshResumeToken, {}));
    expect(unknown).toMatchObject({ code: 0, message: 'unknown rpc: "/coder.tailnet.v2.Tailnet/RefreshResumeToken"' });
  });

  test("a handler's DrpcError reaches the caller; any other error is hidden from the caller and reported to the server", async () => {
    const mistake = new TypeError("secret detail");
    const { rpc, errors } = serve([
      implement(Agent, {
        getManifest: async () => {
          throw new DrpcError(77, "not today");
        },
        updateStats: () => {
          throw mistake;
        },
      }),
    ]);
    expect(await failureOf(rpc.unary(Agent.method.getManifest, {}))).toMatchObject({ code: 77, message: "not today" });
    expect(await failureOf(rpc.unary(Agent.method.updateStats, {}))).toMatchObject({
      code: 0,
      message: "internal error",
    });
    expect(errors).toEqual([mistake]);
  });

  test("an abort rejects with its reason and cancels the handler", async () => {
    let cancelled = 0;
    const { rpc, link } = serve([
      implement(Agent, {
        getManifest: (_, context) =>
          new Promise((resolve) => {
            context.onCancel(() => {
              cancelled++;
              resolve({});
            });
          }),
      }),
    ]);
    const controller = new AbortController();
    const call = rpc.unary(Agent.method.getManifest, {}, { signal: controller.signal });
    await turns();
    controller.abort(new Error("changed my mind"));
    await expect(call).rejects.toThrow("changed my mind");
    await until(() => cancelled === 1);
    expect([link.client.streamCount, link.server.streamCount]).toEqual([0, 0]);
    await expect(rpc.unary(Agent.method.getManifest, {}, { signal: controller.signal })).rejects.toThrow(
      "changed my mind",
    );
  });

  test("the end of the transport fails calls that wait, cancels their handlers, and closes the session", async () => {
    let cancelled = 0;
    const { rpc, link } = serve([
      implement(Agent, { getManifest: (_, context) => new Promise(() => context.onCancel(() => cancelled++)) }),
    ]);
    const calls = Array.from({ length: 10 }, () => failureOf(rpc.unary(Agent.method.getManifest, {})));
    await turns();
    link.cutOff();
    expect((await Promise.all(calls)).map((error) => error.reason)).toEqual(Array(10).fill("transport"));
    expect(cancelled).toBe(10);
    await rpc.closed;
    expect((await failureOf(rpc.unary(Agent.method.getManifest, {}))).message).toMatch("the connection is closed");
  });

  test("a malformed request is refused, a malformed answer is a failure", async () => {
    const both = serve([implement(Agent, { getManifest: async () => ({}), updateStats: async () => ({}) })]);
    const failures: unknown[] = [];
    const raw = startCall(both.link.client, "/coder.agent.v2.Agent/UpdateStats", {
      onMessage: () => undefined,
      onEnd: () => undefined,
      onFailure: (failure) => failures.push(failure),
    })!;
    raw.sendMessage(Uint8Array.of(0xff, 0xff));
    raw.closeSend();
    await until(() => failures.length > 0);
    expect(failures).toEqual([{ reason: "remote", code: 0, text: "malformed coder.agent.v2.UpdateStatsRequest" }]);

    const link = new Link();
    serveDrpc(link.server, {
      find: () => (call) => ({
        onMessage: () => undefined,
        onEnd: () => {
          call.respond(Uint8Array.of(0x0a, 0x7f));
          call.finish();
        },
        onCancel: () => undefined,
      }),
    });
    link.runAutomatically();
    const error = await failureOf(createRpcSession(link.client).unary(Agent.method.updateStats, {}));
    expect(error).toMatchObject({ reason: "protocol", message: "malformed coder.agent.v2.UpdateStatsResponse" });
  });

  test("a request with too many elements gets an answer that says so, and its connection ends", async () => {
    const { link, rpc } = serve([
      implement(Agent, { batchCreateLogs: async () => ({}), getManifest: async () => ({}) }),
    ]);
    const failures: unknown[] = [];
    const raw = startCall(link.client, "/coder.agent.v2.Agent/BatchCreateLogs", {
      onMessage: () => undefined,
      onEnd: () => undefined,
      onFailure: (failure) => failures.push(failure),
    })!;
    raw.sendMessage(EMPTY_LOGS);
    raw.closeSend();
    await until(() => failures.length > 0);
    const text = "coder.agent.v2.BatchCreateLogsRequest has too many elements";
    expect(failures).toEqual([{ reason: "remote", code: 0, text }]);
    expect(link.server.ended).toEqual({ failure: text });
    expect((await failureOf(rpc.unary(Agent.method.getManifest, {}))).reason).toBe("transport");
  });

  test.each(["unary", "streaming"] as const)("so does a %s answer with too many elements", async (kind) => {
    const link = new Link();
    serveDrpc(link.server, {
      find: () => (call) => ({
        onMessage: () => undefined,
        onEnd: () => {
          call.respond(kind === "unary" ? EMPTY_SCRIPTS : EMPTY_REGIONS);
          call.finish();
        },
        onCancel: () => undefined,
      }),
    });
    link.runAutomatically();
    const rpc = createRpcSession(link.client);
    const call = kind === "unary" ? rpc.unary(Agent.method.getManifest, {}) : first(rpc);
    const error = await failureOf(call);
    expect([error.reason, error.message]).toEqual(["overflow", expect.stringMatching(/ has too many elements$/)]);
    await rpc.closed;
    expect(link.client.ended).toEqual({ failure: error.message });
  });

  test("an end without a request, and an end without an answer, are failures", async () => {
    const { link } = serve([implement(Agent, { getManifest: async () => ({}) })]);
    const failures: string[] = [];
    const raw = startCall(link.client, "/coder.agent.v2.Agent/GetManifest", {
      onMessage: () => undefined,
      onEnd: () => undefined,
      onFailure: (failure) => failures.push(failure.text),
    })!;
    raw.closeSend();
    await until(() => failures.length > 0);
    expect(failures).toEqual(["no request"]);

    const silent = new Link();
    serveDrpc(silent.server, {
      find: () => (call) => ({ onMessage: () => call.finish(), onEnd: () => undefined, onCancel: () => undefined }),
    });
    silent.runAutomatically();
    expect((await failureOf(createRpcSession(silent.client).unary(Agent.method.getManifest, {}))).message).toMatch(
      "no answer",
    );
  });

  test("more calls than streams fail at once instead of waiting", async () => {
    const { rpc } = serve([implement(Agent, { getManifest: () => new Promise(() => undefined) })], {
      client: { maxStreams: 2 },
    });
    const held = [rpc.unary(Agent.method.getManifest, {}), rpc.unary(Agent.method.getManifest, {})];
    expect((await failureOf(rpc.unary(Agent.method.getManifest, {}))).message).toMatch("too many calls at once");
    const ends = held.map(failureOf);
    rpc.close();
    await Promise.all(ends);
  });
});

describe("server streams", () => {
  test("an async generator's messages arrive in order, then the stream ends", async () => {
    const { rpc } = serve([
      implement(Tailnet, {
        streamDERPMaps: async function* () {
          for (let i = 0; i < 200; i++)
            yield { homeParams: {}, regions: { [i]: { regionId: BigInt(i), regionName: "r".repeat(5000) } } };
        },
      }),
    ]);
    const ids: string[] = [];
    const maps = rpc.serverStream(Tailnet.method.streamDERPMaps, {});
    for await (const map of maps) ids.push(...Object.keys(map.regions));
    await maps.finished;
    expect(ids).toEqual(Array.from({ length: 200 }, (_, i) => `${i}`));
  });

  test("a slow reader slows the sender down, and stopping early ends the generator", async () => {
    let produced = 0;
    let ended = false;
    const { rpc } = serve([
      implement(Tailnet, {
        streamDERPMaps: async function* () {
          try {
            for (;;) {
              produced++;
              yield { homeParams: {}, regions: { 1: { regionName: "x".repeat(100_000) } } };
            }
          } finally {
            ended = true;
          }
        },
      }),
    ]);
    const maps = rpc.serverStream(Tailnet.method.streamDERPMaps, {});
    await turns(300);
    const ahead = produced;
    expect(ahead).toBeLessThan(40);
    await turns(100);
    expect(produced).toBe(ahead);
    let read = 0;
    for await (const _ of maps) if (++read === 100) break;
    expect(produced).toBeGreaterThan(99);
    await until(() => ended);
  });

  test("an error after some messages comes after them", async () => {
    const { rpc } = serve([
      implement(Tailnet, {
        workspaceUpdates: async (_, context) => {
          context.send({ upsertedAgents: [{ name: "one" }] });
          throw new DrpcError(5, "that was all");
        },
      }),
    ]);
    const names: string[] = [];
    const stream = rpc.serverStream(Tailnet.method.workspaceUpdates, {});
    const reading = (async () => {
      for await (const update of stream) names.push(update.upsertedAgents[0]!.name);
    })();
    expect(await failureOf(reading)).toMatchObject({ code: 5, message: "that was all" });
    expect(names).toEqual(["one"]);
  });
});

describe("calls that stream both ways", () => {
  const echo = implement(Tailnet, {
    coordinate: async (requests, context) => {
      for await (const request of requests)
        context.send({ error: Buffer.from(request.addTunnel?.id ?? []).toString() });
    },
  });

  test("messages go both ways while the call lasts, and closeSend ends it", async () => {
    const { rpc, link } = serve([echo], { cut: seededCut(3, 50) });
    const call = rpc.bidi(Tailnet.method.coordinate);
    const reader = call.messages[Symbol.asyncIterator]();
    for (const word of ["one", "two", "three"]) {
      expect(call.send({ addTunnel: { id: Buffer.from(word) } })).toBe(true);
      expect((await reader.next()).value?.error).toBe(word);
    }
    call.closeSend();
    expect(await reader.next()).toEqual({ value: undefined, done: true });
    expect(call.send({})).toBe(false);
    await turns();
    expect([link.client.streamCount, link.server.streamCount]).toEqual([0, 0]);
  });

  test("the server may speak first, and may end first", async () => {
    const { rpc } = serve([
      implement(Tailnet, {
        coordinate: async (_, context) => {
          context.send(
            create(CoordinateResponseSchema, { peerUpdates: [{ kind: CoordinateResponse_PeerUpdate_Kind.LOST }] }),
          );
        },
      }),
    ]);
    const call = rpc.bidi(Tailnet.method.coordinate);
    const seen: number[] = [];
    for await (const response of call.messages) seen.push(response.peerUpdates[0]!.kind);
    expect(seen).toEqual([CoordinateResponse_PeerUpdate_Kind.LOST]);
    expect(call.send({})).toBe(false);
  });

  test("cancelling ends reading quietly on our side, and requests and handler on the other", async () => {
    const trace: string[] = [];
    const { rpc } = serve([
      implement(Tailnet, {
        coordinate: async (requests, context) => {
          context.onCancel(() => trace.push("cancelled"));
          for await (const _ of requests) trace.push("request");
          trace.push(`requests ended, cancelled ${context.cancelled}, send ${context.send({})}`);
        },
      }),
    ]);
    const call = rpc.bidi(Tailnet.method.coordinate);
    call.send({ disconnect: {} });
    await turns();
    call.cancel();
    call.cancel();
    for await (const _ of call.messages) trace.push("message");
    await call.finished;
    await until(() => trace.length === 3);
    expect(trace).toEqual(["request", "cancelled", "requests ended, cancelled true, send false"]);
  });

  test("messages sent before the caller left are still read", async () => {
    const seen: string[] = [];
    const { rpc } = serve([
      implement(Tailnet, {
        coordinate: async (requests) => {
          for await (const request of requests)
            seen.push(Object.keys(request).includes("disconnect") && request.disconnect ? "disconnect" : "?");
          seen.push("end");
        },
      }),
    ]);
    const call = rpc.bidi(Tailnet.method.coordinate);
    call.send({ disconnect: {} });
    call.closeSend();
    await call.messages[Symbol.asyncIterator]().next();
    expect(seen).toEqual(["disconnect", "end"]);
  });

  test("a receiver that does not read makes send return false, then fails the call, and drained ends in both cases", async () => {
    const { rpc } = serve([implement(Tailnet, { coordinate: () => new Promise(() => undefined) })]);
    const call = rpc.bidi(Tailnet.method.coordinate);
    const request = { updateSelf: { node: { disco: "x".repeat(100_000) } } };
    let refused = false;
    for (let i = 0; i < 30 && !refused; i++) {
      refused = !call.send(request);
      await turns(3);
    }
    expect(refused).toBe(true);
    let drained = false;
    const waiting = call.drained().then(() => (drained = true));
    await turns(50);
    expect(drained).toBe(false);
    for (let i = 0; i < 100; i++) call.send(request);
    await waiting;
    const reading = call.messages[Symbol.asyncIterator]().next();
    expect(await failureOf(reading)).toMatchObject({ reason: "overflow" });
  });

  test("a handler that stops reading can still send, and a slow handler slows the caller down", async () => {
    const { rpc } = serve([
      implement(Tailnet, {
        coordinate: async (requests, context) => {
          for await (const _ of requests) break;
          context.send({ error: "enough" });
        },
      }),
    ]);
    const call = rpc.bidi(Tailnet.method.coordinate);
    call.send({ disconnect: {} });
    const reader = call.messages[Symbol.asyncIterator]();
    expect((await reader.next()).value?.error).toBe("enough");
    expect((await reader.next()).done).toBe(true);
  });

  test("every request arrives in order through a handler that takes its time", async () => {
    const seen: number[] = [];
    const { rpc } = serve([
      implement(Tailnet, {
        coordinate: async (requests) => {
          for await (const request of requests) {
            await nextTurn();
            seen.push(Number(request.updateSelf?.node?.id));
          }
        },
      }),
    ]);
    const call = rpc.bidi(Tailnet.method.coordinate);
    for (let i = 0; i < 500; i++) {
      if (!call.send({ updateSelf: { node: { id: BigInt(i), disco: "y".repeat(3_000) } } })) await call.drained();
    }
    call.closeSend();
    for await (const _ of call) throw new Error("no answer was expected");
    expect(seen).toEqual(Array.from({ length: 500 }, (_, i) => i));
  });

  /** Calls as Go's client does; ending the stream is left to the test. */
  function callLikeGo(link: Link, requests: number): YamuxStream {
    const bytes = new ByteQueue();
    writePacket(bytes, PacketKind.invoke, 1, 1, encodeText("/coder.tailnet.v2.Tailnet/Coordinate"));
    for (let i = 0; i < requests; i++) writePacket(bytes, PacketKind.message, 1, 2 + i, Uint8Array.of());
    const stream = link.client.openStream()!;
    const wire = bytes.take(100_000)!;
    expect(stream.write(wire)).toBe(wire.length);
    return stream;
  }

  test("the server leaves the stream's end to the caller, for every answer", async () => {
    const { link } = serve([implement(Tailnet, { coordinate: async () => undefined })]);
    const { link: other } = serve([]);
    for (const [one, control] of [
      [link, 0x0d],
      [other, 0x07],
    ] as const) {
      const stream = callLikeGo(one, 1);
      await until(() => stream.readableBytes > 0);
      await turns();
      expect(stream.read()?.[0]).toBe(control);
      expect(stream.remoteEnded).toBe(false);
      stream.end();
      await until(() => stream.closed === "finished");
      expect(one.server.streamCount).toBe(0);
    }
  });

  test("a caller that ends its stream has left, after its earlier messages", async () => {
    const trace: string[] = [];
    const { link } = serve([
      implement(Tailnet, {
        coordinate: async (requests, context) => {
          context.onCancel(() => trace.push("cancelled"));
          for await (const _ of requests) trace.push("request");
          trace.push("end");
        },
      }),
    ]);
    callLikeGo(link, 3).end();
    await until(() => trace.includes("end"));
    expect(trace.filter((word) => word === "request")).toHaveLength(3);
    expect(trace.at(-1)).toBe("end");
    expect(trace).toContain("cancelled");
    await turns();
    expect(link.server.streamCount).toBe(0);
  });

  test("a handler that reads nothing still notices that its caller left", async () => {
    let cancelled = false;
    const { link } = serve([
      implement(Tailnet, {
        coordinate: (_, context) =>
          new Promise((resolve) =>
            context.onCancel(() => {
              cancelled = true;
              resolve();
            }),
          ),
      }),
    ]);
    callLikeGo(link, 1_000).end();
    await until(() => cancelled);
    await turns();
    expect(link.server.streamCount).toBe(0);
  });
});
