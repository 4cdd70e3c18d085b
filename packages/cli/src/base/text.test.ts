import { describe, expect, it, test } from "vitest";
import { renderTable } from "../ui/table.ts";
import { cut, displayWidth, printable, printableJson, printableLines, printableLog, wrapWords } from "./text.ts";

const HOSTILE = {
  "an OSC title": "a\u001b]0;owned\u0007b",
  "a hyperlink": "\u001b]8;;http://evil\u001b\\x\u001b]8;;\u001b\\",
  "a cursor move": "\u001b[2J\u001b[H",
  "a C1 CSI": "\u009b2J",
  "a C1 OSC": "\u009d0;owned\u009c",
  "turned writing": "\u202egpj.exe\u202c \u2066x\u2069",
  "a carriage return": "all is well\rnothing",
  "a device string": "\u001bP$q\u001b\\",
};

describe("foreign text cannot drive the terminal", () => {
  it.each(Object.entries(HOSTILE))("%s", (_, text) => {
    const dangerous = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;
    for (const safe of [printable(text), printableLines(text), printableLog(text), printableJson(JSON.stringify(text))])
      expect(safe).not.toMatch(dangerous);
    expect(renderTable(["A"], [[text]])).not.toMatch(dangerous);
    expect(JSON.parse(printableJson(JSON.stringify(text)))).toBe(text);
  });

  it("leaves everything else unchanged", () => {
    const text = "naïve café 日本語 👩‍💻 עברית";
    expect([printable(text), printableLines(`${text}\n${text}`), printableLog(text)]).toEqual([
      text,
      `${text}\n${text}`,
      text,
    ]);
    expect(printableLog("\u001b[32mok\u001b[0m\tdone")).toBe("\u001b[32mok\u001b[0m\tdone");
  });
});

test.each([
  ["abc", 3],
  ["日本語", 6],
  ["é", 1],
  ["e\u0301", 1],
  ["🚀", 2],
  ["\u001b[32mok\u001b[0m", 2],
  ["한국", 4],
])("%j takes %i columns", (text, columns) => {
  expect(displayWidth(text)).toBe(columns);
});

test("lines break between words, and where they must", () => {
  expect(wrapWords("no answer to 3 probes yet", 10)).toEqual(["no answer", "to 3", "probes yet"]);
  expect(wrapWords("abcdefghij kl", 4)).toEqual(["abcd", "efgh", "ij", "kl"]);
  expect(wrapWords("日本語 日本", 5)).toEqual(["日本", "語", "日本"]);
  expect(cut("\u001b[31m日本語\u001b[0m", 4)).toEqual(["\u001b[31m日本", "語\u001b[0m"]);
});
