import { once } from "node:events";
import { Duplex, PassThrough, Readable, Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import { drainInto } from "./drain-into.ts";

/** Takes a turn of the loop for every chunk, and reports when it is full. */
function slowSink(): Writable & { readonly got: Buffer[] } {
  const got: Buffer[] = [];
  const sink = new Writable({
    highWaterMark: 10,
    write: (chunk: Buffer, _encoding, done) => {
      got.push(chunk);
      setImmediate(done);
    },
  });
  return Object.assign(sink, { got });
}

describe("drainInto", () => {
  it("carries everything in order at the speed of the sink, and ends it", async () => {
    const sink = slowSink();
    const parts = Array.from({ length: 100 }, (_, i) => Buffer.alloc(7, i));
    await drainInto(Readable.from(parts, { objectMode: false }), sink);
    expect(Buffer.concat(sink.got)).toEqual(Buffer.concat(parts));
    expect(sink.writableFinished).toBe(true);
  });

  it("starts a source that was paused", async () => {
    const source = Readable.from([Buffer.from("one")], { objectMode: false }).pause();
    const sink = slowSink();
    await drainInto(source, sink);
    expect(String(Buffer.concat(sink.got))).toBe("one");
  });

  it("leaves the sink open on request, without leftover listeners", async () => {
    const sink = slowSink();
    const before = sink.eventNames();
    await drainInto(Readable.from([Buffer.from("one")], { objectMode: false }), sink, { end: false });
    await new Promise(setImmediate);
    expect(sink.writableEnded).toBe(false);
    expect(sink.eventNames()).toEqual(before);
  });

  it.each(["source", "sink"] as const)("destroys both and rejects when the %s fails", async (which) => {
    const streams = { source: new PassThrough(), sink: new PassThrough() };
    const done = drainInto(streams.source, streams.sink);
    streams.source.write("some");
    await once(streams.sink, "data");
    streams[which].destroy(new Error("broken"));
    await expect(done).rejects.toThrow("broken");
    expect([streams.source.destroyed, streams.sink.destroyed]).toEqual([true, true]);
  });

  it("rejects when the sink is closed before everything was written", async () => {
    const [source, sink] = [new PassThrough(), new PassThrough()];
    const done = drainInto(source, sink);
    sink.destroy();
    await expect(done).rejects.toMatchObject({ code: "ERR_STREAM_PREMATURE_CLOSE" });
    expect(source.destroyed).toBe(true);
  });

  it("stops by signal", async () => {
    const [source, sink] = [new PassThrough(), new PassThrough()];
    const stop = new AbortController();
    const done = drainInto(source, sink, { signal: stop.signal });
    stop.abort();
    await expect(done).rejects.toMatchObject({ name: "AbortError" });
    expect([source.destroyed, sink.destroyed]).toEqual([true, true]);
  });

  it("finishes with a duplex when one direction does", async () => {
    const duplex = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
    await drainInto(Readable.from([Buffer.from("x")], { objectMode: false }), duplex);
    expect([duplex.writableFinished, duplex.destroyed]).toEqual([true, false]);
    duplex.destroy();
  });
});
