import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { expect, test } from "vitest";
import { createLogger } from "../base/log.ts";
import { descriptorLimit, limitConnections } from "./descriptor-limit.ts";

test("reads the soft limit of open files, and does without", () => {
  const text =
    "Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024                 524288               files\n";
  expect(descriptorLimit(() => text)).toBe(1024);
  expect(
    descriptorLimit(() => "Max open files            unlimited            unlimited            files\n"),
  ).toBeUndefined();
  expect(
    descriptorLimit(() => {
      throw new Error("ENOENT");
    }),
  ).toBeUndefined();
});

test("connections beyond the limit are refused, and the log says why, once", async () => {
  let text = "";
  const log = createLogger({ sink: { write: (line) => (text += line) }, level: "info", format: "json" });
  const server = createServer();
  limitConnections(server, log, 128 + 18);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const open = Array.from({ length: 24 }, () => connect(port, "127.0.0.1").on("error", () => undefined));
  await expect.poll(() => open.filter((socket) => socket.closed).length).toBe(6);
  expect(text.match(/raise LimitNOFILE/g)).toHaveLength(1);
  for (const socket of open) socket.destroy();
  server.close();
});
