import { lookup } from "node:dns/promises";
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SFTPWrapper } from "ssh2";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ThreadShares } from "../../host/thread-shares.ts";
import { HungMount } from "../../os/testing.ts";
import { duplexPair, run, sftp, TestService } from "./testing.ts";

describe.runIf(HungMount.isPossible)("with a file system that does not answer", () => {
  let mount: HungMount | undefined;
  let point: string;

  beforeAll(async () => {
    mount = await HungMount.make();
  });
  beforeEach(({ skip }) => {
    if (mount === undefined) return skip("root may not mount here");
    point = mount.point;
  });
  afterAll(() => mount?.close());

  const stat = (client: SFTPWrapper, path: string): Promise<string> =>
    new Promise((resolve) => client.stat(path, (error) => resolve(error?.message ?? "found")));

  test("clients that wait for it hold up no other file and no look-up of a name", async () => {
    await using t = new TestService({ sftpServer: "builtin", threads: new ThreadShares() });
    writeFileSync(join(t.home, "file"), "");
    symlinkSync(point, join(t.home, "link"));
    const connect = (client: number) => {
      const [near, far] = duplexPair();
      t.service.handleConnection(far, { address: `fd7a:115c:a1e0::${client.toString(16)}`, port: 1 });
      return t.connectOver(near);
    };
    for (let client = 0; client < 6; client++)
      for (const path of [`${point}/a`, `${t.home}/link/b`]) void stat(await sftp(await connect(client)), path);
    const other = await sftp(await connect(99));
    expect(await stat(other, `${t.home}/file`)).toBe("found");
    expect(await stat(other, `${t.home}/missing`)).toBe("No such file");
    expect(await lookup("localhost")).toMatchObject({ family: expect.any(Number) });
  });

  test("a session starts in the root, and says why, when its home is there", async () => {
    await using t = new TestService({
      threads: new ThreadShares({ answerMs: 100 }),
      user: () => ({ name: "tester", shell: "/bin/sh", home: join(point, "home"), uid: 0 }),
    });
    const { stdout, stderr } = await run(await t.connect(), "pwd");
    expect(stdout.toString()).toBe("/\n");
    expect(stderr.toString()).toContain("its file system does not answer");
  });

  test("an interpreter, a socket to dial and a socket to listen on that are there are refused", async () => {
    await using t = new TestService({ threads: new ThreadShares({ answerMs: 100 }) });
    const client = await t.connect({ strictVendor: false });
    const { stderr, status } = await run(client, `#!${point}/python\nprint(1)`);
    expect([status, stderr.toString()]).toEqual([229, expect.stringContaining("does not answer")]);
    const dialled = await new Promise((resolve) =>
      client.openssh_forwardOutStreamLocal(`${point}/socket`, (error) => resolve(error?.message)),
    );
    expect(dialled).toContain("does not answer");
    const listening = await new Promise((resolve) =>
      client.openssh_forwardInStreamLocal(`${point}/socket`, (error) => resolve(error === undefined)),
    );
    expect(listening).toBe(false);
    expect((await run(client, "echo alive")).stdout.toString()).toBe("alive\n");
  });
});
