import { expect, test } from "vitest";
import { silentLogger } from "wg-userspace/base/ports";
import { ConnectionReports, describeEnd } from "./connection-reports.ts";

test.each([
  [{ exit: undefined, failure: undefined }, 0, "normal exit"],
  [{ exit: { status: 0 }, failure: undefined }, 0, "normal exit"],
  [{ exit: { status: 3 }, failure: undefined }, 3, "exit status 3"],
  [{ exit: { signal: "KILL" }, failure: undefined }, 255, "ended by signal SIGKILL"],
  [{ exit: { signal: "SIGTERM" }, failure: undefined }, 255, "ended by signal SIGTERM"],
  [{ exit: { status: 0 }, failure: "channel window overflow" }, 255, "channel window overflow"],
])("%j: status %i, %s", (end, statusCode, reason) => {
  expect(describeEnd(end)).toEqual({ statusCode, reason });
});

test("connects and disconnects are reported in order, once each, even after a failed report; their number is bounded", async () => {
  const reports = new ConnectionReports({ now: () => 5, logger: silentLogger });
  const end = reports.opened("fd7a:115c:a1e0::1", "vscode");
  end({ exit: { status: 0 }, failure: undefined });
  const sent: string[] = [];
  let failing = true;
  const stop = new AbortController();
  const rpc = {
    unary: async (_method: unknown, { connection }: { connection: { action: number; reason: string; ip: string } }) => {
      if (failing) throw new Error("the connection is gone");
      sent.push(`${connection.action} ${connection.ip} ${connection.reason}`);
      if (!reports.unsent || sent.length === 2) stop.abort();
    },
  } as unknown as Parameters<ConnectionReports["send"]>[0];
  await expect(reports.send(rpc, stop.signal)).rejects.toThrow("gone");
  failing = false;
  await reports.send(rpc, stop.signal);
  expect(sent).toEqual(["1 fd7a:115c:a1e0::1 ", "2 fd7a:115c:a1e0::1 normal exit"]);
  expect(reports.unsent).toBe(false);
});
