import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { silentLogger } from "wg-userspace/base/ports";
import type { SshChannel } from "./channel.ts";
import { X11Display } from "./x11.ts";

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
