import { expect, test } from "vitest";
import { terminalLogger } from "./logger.ts";

test("a terminal gets readable lines, without secrets and without control sequences", () => {
  const lines: string[] = [];
  const now = () => new Date(2026, 0, 2, 15, 4, 5);
  const logger = terminalLogger("info", (line) => void lines.push(line), now);
  logger.log("debug", "not shown");
  logger.log("info", "connected", { url: "http://a.example", attempt: 2, region: "Coder Relay" });
  logger.log("warn", "refused", { token: "secret", peer: { headers: { a: "secret" }, id: 1 }, error: new Error("no") });
  logger.log("error", "name\u001b]0;owned\u0007", { name: "\u202egnp\u009b2J" });
  expect(lines).toEqual([
    '15:04:05 info  connected url=http://a.example attempt=2 region="Coder Relay"\n',
    '15:04:05 warn  refused token=[Redacted] peer={"headers":"[Redacted]","id":1} error="no"\n',
    "15:04:05 error name?]0;owned? name=?gnp?2J\n",
  ]);
});
