import { PassThrough } from "node:stream";
import { expect, it } from "vitest";
import { readTerminal } from "./terminal-input.ts";

it("takes a standard input that cannot be read for one that has ended", async () => {
  const stdin = new PassThrough();
  const ended = Promise.withResolvers<void>();
  let ends = 0;
  const stop = readTerminal({
    terminal: { stdin, stdout: new PassThrough(), stderr: new PassThrough() },
    pty: false,
    describeConnection: () => "",
    onLeave: () => undefined,
    target: {
      write: () => true,
      onceDrained: () => undefined,
      end: () => {
        ends++;
        ended.resolve();
      },
      resize: () => undefined,
    },
  });
  stdin.destroy(Object.assign(new Error("read EBADF"), { code: "EBADF" }));
  await ended.promise;
  stop();
  stdin.emit("error", new Error("a late one"));
  expect(ends).toBe(1);
});

it("ignores an input that fails after the session", async () => {
  const stdin = new PassThrough();
  let ends = 0;
  const target = { write: () => true, onceDrained: () => undefined, end: () => ends++, resize: () => undefined };
  const terminal = { stdin, stdout: new PassThrough(), stderr: new PassThrough() };
  const stop = readTerminal({ terminal, pty: false, describeConnection: () => "", onLeave: () => undefined, target });
  stop();
  stdin.destroy(new Error("read EIO"));
  await new Promise((resolve) => stdin.once("close", resolve));
  expect(ends).toBe(0);
});
