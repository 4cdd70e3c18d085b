import fc from "fast-check";
import { expect, test } from "vitest";
import { passive } from "./passive.ts";
import { Scrollback } from "./scrollback.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text, "utf8");
const textOf = (output: Uint8Array): string => Buffer.from(output).toString("utf8");

const QUERIES: Readonly<Record<string, string>> = {
  "primary attributes": "\x1b[c",
  "primary attributes with 0": "\x1b[0c",
  "secondary attributes": "\x1b[>c",
  "tertiary attributes": "\x1b[=0c",
  "terminal identity": "\x1bZ",
  "status report": "\x1b[5n",
  "cursor position": "\x1b[6n",
  "extended cursor position": "\x1b[?6n",
  "colour scheme": "\x1b[?996n",
  "terminal parameters": "\x1b[x",
  version: "\x1b[>q",
  "version with 0": "\x1b[>0q",
  "ANSI mode": "\x1b[4$p",
  "private mode": "\x1b[?2026$p",
  "window size in pixels": "\x1b[14t",
  "cell size": "\x1b[16t",
  "window title": "\x1b[21t",
  "keyboard flags": "\x1b[?u",
  "modifier keys": "\x1b[?4m",
  "graphics attributes": "\x1b[?2;1;0S",
  checksum: "\x1b[1;1;1;1;2;2*y",
  "presentation state": "\x1b[1$w",
  "status string": "\x1bP$qm\x1b\\",
  terminfo: "\x1bP+q544e\x1b\\",
  "foreground colour": "\x1b]10;?\x07",
  "background colour, ST": "\x1b]11;?\x1b\\",
  "several colours": "\x1b]10;?;?\x07",
  "palette colour": "\x1b]4;1;?\x07",
  clipboard: "\x1b]52;c;?\x07",
  "kitty colours": "\x1b]21;foreground=?\x1b\\",
  font: "\x1b]50;?\x07",
  "iTerm variable": "\x1b]1337;ReportCellSize\x07",
  "kitty graphics": "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\",
  "reports of the size": "\x1b[?2048h",
  enquiry: "\x05",
  "primary attributes, 8 bits": "\u009bc",
  "background colour, 8 bits": "\u009d11;?\u009c",
};

test.each(Object.entries(QUERIES))("a query is not replayed: %s", (_, question) => {
  expect(textOf(passive(bytes(`before${question}\x1b[1mafter`)))).toBe("before\x1b[1mafter");
});

const STATEMENTS: Readonly<Record<string, string>> = {
  text: "plain text, ? and \u00e4\u00f6\u4e2d\ud83d\ude00",
  colours: "\x1b[1;38;5;12mred\x1b[0m",
  "cursor shape": "\x1b[4 q",
  "soft reset": "\x1b[!p",
  "alternate screen and bracketed paste": "\x1b[?1049h\x1b[?2004h\x1b[?1004h",
  "window title": "\x1b]0;is it so?\x07",
  hyperlink: "\x1b]8;;https://example.com/?a=?\x1b\\link\x1b]8;;\x1b\\",
  "clipboard, writing": "\x1b]52;c;aGVsbG8=\x07",
  "a colour that is set": "\x1b]11;#000000\x07",
  "working directory": "\x1b]7;file://host/what?\x07",
  "prompt mark": "\x1b]133;A\x07",
  "resize of the window": "\x1b[8;24;80t",
  "title stack": "\x1b[22;0t",
  "keyboard flags, pushed": "\x1b[>1u",
  "key modifiers, switched off": "\x1b[>4n",
  "rectangle filled": "\x1b[65;1;1;2;2$x",
  "sixel image": "\x1bPq#0;2;0;0;0~-\x1b\\",
  "quiet image": "\x1b_Gi=1,q=2,a=T;AAAA\x1b\\",
  "cut short": "\x1b[6",
  "string cut short": "\x1b]11;?",
};

test.each(Object.entries(STATEMENTS))("output without a query is unchanged: %s", (_, output) => {
  expect(textOf(passive(bytes(output)))).toBe(output);
});

test("queries are found wherever the output was cut", () => {
  for (const question of Object.values(QUERIES)) {
    const all = bytes(`one${question}two`);
    for (let cut = 0; cut <= all.length; cut++) {
      const scrollback = new Scrollback(256);
      scrollback.append(all.subarray(0, cut));
      scrollback.append(all.subarray(cut));
      expect(textOf(scrollback.replay())).toBe("onetwo");
    }
  }
});

test("removing a query does not create another one", () => {
  expect(textOf(passive(bytes("\x1b[\x1b[cc\x1b\x1b[6n[6n.")))).toBe(".");
});

test("any output is accepted, nothing is added, and a second pass finds no more", () => {
  const pieces = fc.constantFrom(
    ...Object.values(QUERIES),
    ...Object.values(STATEMENTS),
    "\x1b",
    "\x1b[",
    "\x18",
    "\xc2",
  );
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.uint16Array({ maxLength: 20 }).map((units) => String.fromCharCode(...units)),
          pieces,
        ),
      ),
      (parts) => {
        const output = bytes(parts.join(""));
        const once = passive(output);
        expect(once.length).toBeLessThanOrEqual(output.length);
        expect(passive(once)).toEqual(once);
      },
    ),
  );
});
