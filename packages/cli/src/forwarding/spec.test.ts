import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UsageError } from "../errors/usage-error.ts";
import { formatEnd, MAX_FORWARDS, parseForwards } from "./spec.ts";

/** Formats each forward as `bind listen host target`. */
const brief = (values: readonly string[]): string[] =>
  parseForwards("tcp", values, "--tcp").map(
    ({ bind, port, target }) => `${bind ?? "-"} ${port} ${target.host ?? "-"} ${target.port}`,
  );

describe("forward specs", () => {
  it.each([
    [["8080"], ["- 8080 - 8080"]],
    [["8080:3000"], ["- 8080 - 3000"]],
    [["0.0.0.0:8080"], ["0.0.0.0 8080 - 8080"]],
    [["127.0.0.1:8080:3000"], ["127.0.0.1 8080 - 3000"]],
    [["[::1]:8080:3000"], ["::1 8080 - 3000"]],
    [["[fe80::1]:1"], ["fe80::1 1 - 1"]],
    [[" 1 , 2:3 ,4-5"], ["- 1 - 1", "- 2 - 3", "- 4 - 4", "- 5 - 5"]],
    [
      ["1", "2"],
      ["- 1 - 1", "- 2 - 2"],
    ],
    [["8000-8002:9000-9002"], ["- 8000 - 9000", "- 8001 - 9001", "- 8002 - 9002"]],
    [["65534-65535"], ["- 65534 - 65534", "- 65535 - 65535"]],
    [["65535:65535"], ["- 65535 - 65535"]],
    [["5432:db.internal:5432"], ["- 5432 db.internal 5432"]],
    [["5432:10.0.0.5:5432"], ["- 5432 10.0.0.5 5432"]],
    [["127.0.0.1:1:[fd00::1]:80"], ["127.0.0.1 1 fd00::1 80"]],
    [["1-2:db:3-4"], ["- 1 db 3", "- 2 db 4"]],
    [["127.0.0.1:80,0.0.0.0:80"], ["127.0.0.1 80 - 80", "0.0.0.0 80 - 80"]],
  ])("%j", (values, expected) => {
    expect(brief(values)).toEqual(expected);
  });

  it.each([
    ["", "nothing before or after a comma"],
    ["1,,2", "nothing before or after a comma"],
    ["0", "no port 0"],
    ["65536", "no port 65536"],
    ["8080:0", "no port 0"],
    ["1:99999", "no port 99999"],
    ["9-8", "ends before it starts"],
    ["8-9:1-3", "2 ports but leads to 3 ports"],
    ["8-9:1", "2 ports but leads to 1 port;"],
    ["localhost:8080", "no port or range"],
    ["/tmp/socket", "no port or range"],
    ["127.0.0.1", "the port is missing"],
    ["[::1]", "the port is missing"],
    ["[::1:80", "brackets"],
    ["::1:80", "too many parts"],
    ["1:2:3", "no host name"],
    ["1:a b:3", "no host name"],
    ["1:-x:3", "no host name"],
    ["1:$(id):3", "no host name"],
    ["1:2:3:4:5", "too many parts"],
    ["8080:", "no port or range"],
    [":8080", "no port or range"],
    ["80x", "no port or range"],
    ["1e3", "no port or range"],
    ["+80", "no port or range"],
    ["1-", "no port or range"],
    ["8080,8080", "port 8080 twice"],
    ["127.0.0.1:8080,8080", "port 8080 twice"],
    ["1-10,5", "port 5 twice"],
    ["[::1]:5,[::1]:5", "port 5 of ::1 twice"],
    ["1-65535", `more than ${MAX_FORWARDS}`],
    [`1-${MAX_FORWARDS},5000`, `more than ${MAX_FORWARDS}`],
  ])("refuses %j", (value, why) => {
    expect(() => brief([value])).toThrow(UsageError);
    expect(() => brief([value])).toThrow(why);
    expect(() => brief([value])).toThrow("--tcp");
  });

  it("takes any text without failing in another way, and yields only ports that exist", () => {
    const piece = fc.constantFrom(
      "1",
      "80",
      "65535",
      "65536",
      "0",
      "-",
      ":",
      ",",
      "[",
      "]",
      "::1",
      "127.0.0.1",
      "a",
      " ",
      "%",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        try {
          for (const { port, target } of parseForwards("udp", [pieces.join("")], "--udp")) {
            expect(port).toBeGreaterThan(0);
            expect(port).toBeLessThan(65536);
            expect(target.port).toBeGreaterThan(0);
            expect(target.port).toBeLessThan(65536);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
        }
      }),
    );
  });

  it("puts IPv6 addresses into brackets in messages", () => {
    expect(formatEnd("udp", "::1", 53)).toBe("udp://[::1]:53");
    expect(formatEnd("tcp", "127.0.0.1", 80)).toBe("tcp://127.0.0.1:80");
  });
});
