/** Viewers that requested records: what they learn, whose size counts, who answers, and who waits for whom. */
import { expect, test } from "vitest";
import { eventually } from "../ssh/testing.ts";
import { Fixture, FramedViewer, ID, TestViewer } from "./testing.ts";

const INIT = { ID, Height: 24, Width: 80, Framed: true };

class FramedFixture extends Fixture {
  async join(init: Record<string, unknown> = {}): Promise<FramedViewer> {
    const viewer = new FramedViewer(this.service, { ...INIT, ...init });
    await eventually("greeted", () => viewer.last("size") !== undefined);
    return viewer;
  }

  get program() {
    return this.programs[0]!;
  }

  async prints(text: string, seenBy: FramedViewer): Promise<void> {
    this.program.screen.write(text);
    await eventually(text, () => seenBy.output.includes(text));
  }
}

test("the first viewer learns that all is new, and no output is called a replay", async () => {
  const t = new FramedFixture();
  const viewer = await t.join({ Command: "top", UserName: "alice" });
  expect(viewer.events[0]).toEqual({
    type: "hello",
    terminal: { id: ID, command: "top", started_at: "1970-01-01T00:00:00.000Z", fresh: true },
    viewer: 1,
    size: { cols: 80, rows: 24 },
    framed: true,
  });
  await t.prints("output", viewer);
  expect(viewer.replay).toBe("");
  expect(viewer.last("replay-end")).toBeUndefined();
  expect(viewer.last("viewers")).toEqual({ type: "viewers", count: 1, names: ["alice"], answers: true });
});

test("a later viewer gets the past between a reset and the modes that are on, and an end behind it", async () => {
  const t = new FramedFixture();
  const first = await t.join();
  await t.prints("\u001b[?2004hpast\u001b[c", first);
  const second = await t.join();
  expect(second.events[0]).toMatchObject({ type: "hello", terminal: { fresh: false }, viewer: 2 });
  expect(second.replay).toBe("\u001bc\u001b[?2004hpast\u001b[?2004h");
  expect(second.events.map(({ type }) => type)).toEqual(["hello", "replay-end", "viewers", "size"]);
  expect(second.output).toBe("");
});

test("the past of a full screen is drawn on the screen where it was drawn, though its beginning is lost", async () => {
  const t = new FramedFixture();
  const first = await t.join();
  await t.prints(`\u001b[?1049h${"x".repeat(70_000)}end`, first);
  const second = await t.join();
  expect(second.replay.startsWith("\u001bc\u001b[?1049hx")).toBe(true);
  expect(second.replay.endsWith("end")).toBe(true);
});

test("the size and the answers belong to the viewer that typed or was focused last", async () => {
  const t = new FramedFixture();
  const alice = await t.join({ UserName: "alice" });
  const bob = await t.join({ UserName: "bob", Height: 20, Width: 60 });
  expect(bob.last("size")).toEqual({ type: "size", cols: 80, rows: 24, yours: false, name: "alice" });
  expect([alice.last("viewers")!.answers, bob.last("viewers")!.answers]).toEqual([true, false]);
  bob.send({ height: 21, width: 61 });
  bob.send({ type: "focus" });
  await eventually("bob's size", () => alice.last("size")!.cols === 61);
  expect(alice.last("size")).toEqual({ type: "size", cols: 61, rows: 21, yours: false, name: "bob" });
  await eventually("bob answers", () => bob.last("viewers")!.answers && !alice.last("viewers")!.answers);
  alice.send({ data: "x" });
  await eventually("alice's size", () => bob.last("size")!.cols === 80 && alice.last("size")!.yours);
  expect(t.program.sizes).toEqual([
    { rows: 24, columns: 80 },
    { rows: 21, columns: 61 },
    { rows: 24, columns: 80 },
  ]);
  alice.stream.end();
  await eventually("bob's again", () => bob.last("size")!.yours && bob.last("viewers")!.count === 1);
  expect(bob.last("size")).toMatchObject({ cols: 61, rows: 21 });
});

test("a read-only viewer changes nothing: no keys, no size, no answers, no end", async () => {
  const t = new FramedFixture();
  const watcher = await t.join({ ReadOnly: true, UserName: "carol", Height: 5, Width: 5 });
  expect(t.program.sizes).toEqual([]);
  const alice = await t.join({ UserName: "alice" });
  watcher.send({ data: "rm -rf /\r" });
  watcher.send({ height: 9, width: 9 });
  watcher.send({ type: "focus" });
  watcher.send({ type: "detach-others" });
  watcher.send({ type: "close", kill: true });
  alice.send({ data: "ls" });
  let typed = "";
  await eventually("typed", () => {
    typed += t.program.typed();
    return typed !== "";
  });
  expect(typed).toBe("ls");
  expect(t.program.sizes).toEqual([{ rows: 24, columns: 80 }]);
  expect([t.service.viewers, watcher.last("viewers")!.answers, t.program.closed]).toEqual([2, false, false]);
});

test("the program waits while more than 512 KiB are not acknowledged, and goes on below 256", async () => {
  const t = new FramedFixture();
  const viewer = await t.join();
  const piece = "y".repeat(64 * 1024);
  for (let count = 0; count < 32; count++) t.program.screen.write(piece);
  await eventually("paused", () => t.program.stream.isPaused());
  const unacknowledged = (): number => viewer.output.length;
  await eventually("all that was sent", () => unacknowledged() > 512 * 1024);
  expect(unacknowledged()).toBeLessThan(1024 * 1024);
  viewer.send({ type: "ack", bytes: unacknowledged() - 300 * 1024 });
  viewer.send({ height: 11, width: 11 });
  await eventually("read", () => t.program.sizes.some(({ rows }) => rows === 11));
  expect(t.program.stream.isPaused()).toBe(true);
  const before = unacknowledged();
  viewer.send({ type: "ack", bytes: before });
  await eventually("more", () => unacknowledged() > before);
});

test("acknowledging more than was sent opens the window no further", async () => {
  const t = new FramedFixture();
  const viewer = await t.join();
  viewer.send({ type: "ack", bytes: Number.MAX_SAFE_INTEGER });
  const piece = "y".repeat(64 * 1024);
  for (let count = 0; count < 32; count++) t.program.screen.write(piece);
  await eventually("paused", () => t.program.stream.isPaused());
  expect(viewer.output.length).toBeLessThan(1024 * 1024);
});

test("one viewer may ask the others to leave, and each of them learns it", async () => {
  const t = new FramedFixture();
  const old = await t.join();
  const raw = new TestViewer(t.service, { ...INIT, Framed: false });
  await eventually("three", () => t.service.viewers === 2);
  const fresh = await t.join();
  fresh.send({ type: "detach-others" });
  await eventually("left", () => old.ended && raw.ended);
  expect(old.events.at(-1)).toEqual({ type: "replaced" });
  expect(t.service.viewers).toBe(1);
  expect(fresh.last("viewers")).toMatchObject({ count: 1, answers: true });
});

test("the end of the program is an event with its code", async () => {
  const t = new FramedFixture();
  const viewer = await t.join();
  t.program.exit();
  await eventually("ended", () => viewer.ended);
  expect(viewer.events.at(-1)).toEqual({ type: "exit", code: 0, signal: "" });
});

test("closing leaves the program, and ends it where that is asked for", async () => {
  const t = new FramedFixture();
  const first = await t.join();
  first.send({ type: "close", kill: false });
  await eventually("left", () => first.ended);
  expect(t.program.closed).toBe(false);
  const second = await t.join();
  second.send({ type: "close", kill: true });
  await eventually("hung up", () => t.program.closed && second.ended);
});

test("a refusal is an event, not output", async () => {
  const t = new FramedFixture({ maxTerminals: 0 });
  const viewer = new FramedViewer(t.service, INIT);
  await eventually("ended", () => viewer.ended);
  expect(viewer.last("notice")!.text).toContain("too many terminals");
  expect(viewer.output).toBe("");
});

test("terminals are listed with what is known of them, renamed and ended by id", async () => {
  const t = new FramedFixture();
  const viewer = await t.join({ Command: "vim", UserName: "alice", User: "alice-id", KeepSeconds: 3600 });
  t.program.screen.write("\u001b]2;a\u202etitle\u0007");
  await t.prints("shown", viewer);
  const [listed] = t.service.list();
  expect(listed).toEqual({
    id: ID,
    command: "vim",
    title: "atitle",
    started_at: "1970-01-01T00:00:00.000Z",
    last_attached_at: "1970-01-01T00:00:00.000Z",
    viewers: 1,
    viewer_names: ["alice"],
    cols: 80,
    rows: 24,
    kept_until: null,
    foreground: "",
    owner: "alice-id",
  });
  expect(t.service.rename(ID, " build\u0000 ")).toBe(true);
  expect(t.service.list()[0]!.title).toBe("build");
  t.service.rename(ID, "");
  expect(t.service.list()[0]!.title).toBe("atitle");
  viewer.stream.end();
  await eventually("alone", () => t.service.viewers === 0);
  expect(t.service.list()[0]!.kept_until).toBe("1970-01-01T01:00:00.000Z");
  t.time.advance(1_800_000);
  await t.join({ KeepSeconds: 300 });
  t.time.advance(3_600_000);
  expect(t.service.list()[0]).toMatchObject({ kept_until: null, last_attached_at: "1970-01-01T00:30:00.000Z" });
  expect([t.service.end(ID), t.service.end("unknown"), t.service.rename("unknown", "x")]).toEqual([true, false, false]);
  await eventually("ended", () => t.service.list().length === 0);
});

const PIECE = "y".repeat(64 * 1024);

/** Acknowledges all output, as a page does. */
function acknowledging(viewer: FramedViewer): FramedViewer {
  let acknowledged = 0;
  viewer.stream.on("data", () => {
    if (viewer.output.length - acknowledged < 64 * 1024) return;
    acknowledged = viewer.output.length;
    viewer.send({ type: "ack", bytes: acknowledged });
  });
  return viewer;
}

test("a program that prints before it reads its input does not wait for acknowledgements behind that input", async () => {
  const t = new FramedFixture();
  const viewer = acknowledging(await t.join());
  viewer.send({ data: "x".repeat(300 * 1024) });
  await eventually("input waits", () => t.program.stream.writableNeedDrain);
  for (let count = 0; count < 48; count++) t.program.screen.write(PIECE);
  await eventually("all output", () => viewer.output.length === 48 * PIECE.length);
  t.program.screen.resume(); // the program reads its input
  await eventually("input taken", () => t.program.stream.writableLength === 0);
  for (let count = 0; count < 48; count++) t.program.screen.write(PIECE);
  await eventually("output of later", () => viewer.output.length === 96 * PIECE.length);
});

test("a viewer whose acknowledgements wait behind its input is not dropped for their absence", async () => {
  const t = new FramedFixture();
  const other = acknowledging(await t.join());
  const pasting = acknowledging(await t.join());
  pasting.send({ data: "x".repeat(300 * 1024) });
  await eventually("input waits", () => t.program.stream.writableNeedDrain);
  for (let count = 0; count < 48; count++) t.program.screen.write(PIECE);
  await eventually("all output", () => [other, pasting].every(({ output }) => output.length === 48 * PIECE.length));
  t.program.screen.resume();
  for (let count = 0; count < 48; count++) t.program.screen.write(PIECE);
  await eventually("output of later", () => pasting.output.length === 96 * PIECE.length);
  expect([t.service.viewers, t.log]).toEqual([2, []]);
});
