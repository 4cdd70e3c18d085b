import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hex, toHex } from "../../test/link.ts";
import { DrpcClientCall, type DrpcEvent, DrpcServerCall } from "./call.ts";

type Call = DrpcClientCall | DrpcServerCall;

function events(call: Call): DrpcEvent[] {
  const all: DrpcEvent[] = [];
  for (let event = call.pollEvent(); event !== undefined; event = call.pollEvent()) all.push(event);
  return all;
}

function give(call: Call, text: string): DrpcEvent[] {
  if (call.wantsInput) call.handleBytes(hex(text));
  return events(call);
}

function out(call: Call): string | undefined {
  return toHex(call.takeOutput());
}

const INVOKE_A = "03 01 01 01 41";

describe("the server's side", () => {
  test("a unary call: invoke, message, end; then the answer and CloseSend", () => {
    const call = new DrpcServerCall();
    expect(give(call, `${INVOKE_A} 05 01 02 02 0102 0d 01 03 00`)).toEqual([
      { kind: "invoke", path: "A" },
      { kind: "message", bytes: Uint8Array.of(1, 2) },
      { kind: "end" },
    ]);
    call.sendMessage(Uint8Array.of(9));
    call.finish();
    call.finish();
    expect(out(call)).toBe("05010101090d010200");
    expect(call.over).toBe(true);
    expect(call.sendMessage(Uint8Array.of(1))).toBe(false);
  });

  test("an error ends the call", () => {
    const call = new DrpcServerCall();
    give(call, INVOKE_A);
    call.fail(12, "no");
    call.fail(0, "again");
    expect(out(call)).toBe("0701010a000000000000000c6e6f");
  });

  test("metadata before the call is ignored, and the answer carries the caller's stream id", () => {
    const call = new DrpcServerCall();
    expect(give(call, "0f 05 01 02 0a00 03 05 02 01 41")).toEqual([{ kind: "invoke", path: "A" }]);
    call.finish();
    expect(out(call)).toBe("0d050100");
  });

  test.each([
    ["Cancel", "89 01 02 00"],
    ["Close", "0b 01 02 00"],
  ])("%s cancels the call and drops pending output", (_, packet) => {
    const call = new DrpcServerCall();
    give(call, INVOKE_A);
    call.sendMessage(Uint8Array.of(1));
    expect(give(call, packet)).toMatchObject([{ kind: "failed", failure: { reason: "cancelled" } }]);
    expect(out(call)).toBeUndefined();
  });

  test("the end of the transport cancels, after the messages that came before it", () => {
    const call = new DrpcServerCall();
    call.handleBytes(hex(`${INVOKE_A} 05 01 02 01 07 05 01 03 05 07`));
    call.handleTransportEnd();
    expect(events(call)).toMatchObject([
      { kind: "invoke" },
      { kind: "message" },
      { kind: "failed", failure: { reason: "cancelled" } },
    ]);
    expect(events(call)).toEqual([]);
  });

  test.each([
    ["a message first", "05 01 01 00"],
    ["an end first", "0d 01 01 00"],
    ["two calls", `${INVOKE_A} 03 01 02 01 42`],
    ["a broken frame", "05 00 00 00"],
  ])("%s is a protocol failure", (_, text) => {
    expect(give(new DrpcServerCall(), text).at(-1)).toMatchObject({ kind: "failed", failure: { reason: "protocol" } });
  });

  test("messages after the caller's end are ignored", () => {
    const call = new DrpcServerCall();
    expect(give(call, `${INVOKE_A} 0d 01 02 00 05 01 03 00 0d 01 04 00`)).toEqual([
      { kind: "invoke", path: "A" },
      { kind: "end" },
    ]);
  });
});

describe("the client's side", () => {
  test("messages, then the end, then Close", () => {
    const call = new DrpcClientCall("A");
    out(call);
    expect(give(call, "05 01 01 01 07 05 01 02 00 0d 01 03 00")).toEqual([
      { kind: "message", bytes: Uint8Array.of(7) },
      { kind: "message", bytes: new Uint8Array(0) },
      { kind: "end" },
    ]);
    call.close();
    call.close();
    expect(out(call)).toBe("0b010200");
    expect(call.over).toBe(true);
  });

  test("the server's Close is an end too", () => {
    const call = new DrpcClientCall("A");
    expect(give(call, "0b 01 01 00")).toEqual([{ kind: "end" }]);
    expect(call.over).toBe(true);
  });

  test("an error carries the server's code and text", () => {
    expect(give(new DrpcClientCall("A"), "07 01 01 0a 000000000000000c 6e6f")).toEqual([
      { kind: "failed", failure: { reason: "remote", code: 12, text: "no" } },
    ]);
  });

  test("an answer that never ends fails with the transport, one that has ended does not", () => {
    const cut = new DrpcClientCall("A");
    give(cut, "05 01 01 01 07");
    cut.handleTransportEnd();
    expect(events(cut)).toMatchObject([{ kind: "failed", failure: { reason: "transport", code: -1 } }]);
    const ended = new DrpcClientCall("A");
    give(ended, "0d 01 01 00");
    ended.handleTransportEnd();
    expect(events(ended)).toEqual([]);
  });

  test("an invoke from the server is a protocol failure", () => {
    expect(give(new DrpcClientCall("A"), INVOKE_A)).toMatchObject([
      { kind: "failed", failure: { reason: "protocol" } },
    ]);
  });

  test("nothing is sent after closeSend, which is sent once", () => {
    const call = new DrpcClientCall("A");
    out(call);
    call.closeSend();
    call.closeSend();
    expect(call.sendMessage(Uint8Array.of(1))).toBe(false);
    expect(out(call)).toBe("0d010200");
  });
});

test("any bytes into either side: no throw, and at most one failure, as the last event", () => {
  const frame = fc
    .tuple(
      fc.integer({ min: 0, max: 255 }),
      fc.integer({ min: 0, max: 2 }),
      fc.integer({ min: 0, max: 5 }),
      fc.uint8Array({ maxLength: 12 }),
    )
    .map(([control, streamId, messageId, data]) =>
      Uint8Array.from([control, streamId, messageId, data.length, ...data]),
    );
  fc.assert(
    fc.property(fc.boolean(), fc.array(frame, { maxLength: 12 }), (server, chunks) => {
      const call = server ? new DrpcServerCall() : new DrpcClientCall("A");
      const seen: DrpcEvent[] = [];
      for (const chunk of chunks) {
        if (call.wantsInput) call.handleBytes(chunk);
        seen.push(...events(call));
      }
      call.handleTransportEnd();
      seen.push(...events(call));
      const failures = seen.filter((event) => event.kind === "failed");
      expect(failures.length).toBeLessThanOrEqual(1);
      if (failures.length === 1) expect(seen.at(-1)).toBe(failures[0]);
    }),
    { numRuns: 400 },
  );
});
