import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { silentLogger } from "wg-userspace/base/ports";
import { ThreadShares } from "../../host/thread-shares.ts";
import type { SshChannel } from "./channel.ts";
import { findXauthThatAnswers, X11Display } from "./x11.ts";

test("a channel that the client opened for a program that is gone is closed", async () => {
  const opening = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<SshChannel>();
  const closed = Promise.withResolvers<void>();
  const display = await X11Display.open({
    request: { single: false, protocol: "MIT-MAGIC-COOKIE-1", cookie: "00ff", screen: 0 },
    xauth: "/bin/true",
    environment: {},
    logger: silentLogger,
    opener: {
      openForwardedTcp: async () => undefined,
      openForwardedSocket: async () => undefined,
      openAgent: async () => undefined,
      openX11: () => {
        opening.resolve();
        return opened.promise;
      },
    },
  });
  const program = connect(6000 + Number(/:(\d+)\./.exec(display.name)![1]), "127.0.0.1");
  await opening.promise;
  display.close();
  await once(program, "close");
  opened.resolve({ destroy: () => closed.resolve() } as unknown as SshChannel);
  await closed.promise;
  expect(program.destroyed).toBe(true);
});

test("an xauth that neither ends nor can be killed refuses the display", async () => {
  const folder = mkdtempSync(join(tmpdir(), "x11-"));
  const xauth = join(folder, "xauth");
  writeFileSync(xauth, "#!/bin/sh\nexec sleep 1000\n", { mode: 0o755 });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const kill = vi.spyOn(process, "kill").mockImplementation(() => {
    throw Object.assign(new Error("kill EPERM"), { code: "EPERM" });
  });
  try {
    const opening = X11Display.open({
      request: { single: false, protocol: "MIT-MAGIC-COOKIE-1", cookie: "00ff", screen: 0 },
      xauth,
      environment: { PATH: process.env["PATH"] ?? "" },
      logger: silentLogger,
      opener: {} as never,
    });
    const refused = expect(opening).rejects.toThrow("EPERM");
    while (vi.getTimerCount() === 0) await new Promise((resolve) => setImmediate(resolve));
    vi.advanceTimersByTime(10_000);
    await refused;
  } finally {
    const [pid] = kill.mock.calls[0] ?? [];
    kill.mockRestore();
    vi.useRealTimers();
    if (pid !== undefined) process.kill(pid, "SIGKILL");
    rmSync(folder, { recursive: true });
  }
});

test("xauth is not looked for on a file system that does not answer", async () => {
  const folders = ["silent", "answering"].map((name) => mkdtempSync(join(tmpdir(), `${name}-`)));
  onTestFinished(() => {
    for (const folder of folders) rmSync(folder, { recursive: true });
  });
  for (const folder of folders) writeFileSync(join(folder, "xauth"), "", { mode: 0o700 });
  const volume = (path: string | Buffer) => ({ id: String(path), maySilence: true });
  const threads = new ThreadShares({
    threads: 16,
    answerMs: 100,
    volumes: { of: volume },
    examine: (path) => (path === folders[0] ? new Promise(() => undefined) : Promise.resolve()),
  });
  expect(await findXauthThatAnswers(folders, threads)).toBe(join(folders[1]!, "xauth"));
  await expect(findXauthThatAnswers(folders.slice(0, 1), threads)).rejects.toThrow("no xauth on a file system");
});
