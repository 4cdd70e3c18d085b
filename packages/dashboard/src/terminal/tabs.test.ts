import { expect, test } from "vitest";
import { closeTab, neighbour, newTab, replaceTab, restored, showTab, stored, type Tabs, titled } from "./tabs.ts";

const id = (digit: number) => `00000000-0000-4000-8000-00000000000${digit}`;
const three: Tabs = { list: [1, 2, 3].map((digit) => newTab(id(digit))), shown: id(2) };

test("a terminal has one tab, however often it is opened", () => {
  const more = showTab(showTab(three, newTab(id(4))), newTab(id(1)));
  expect([more.list.length, more.shown]).toEqual([4, id(1)]);
});

test("the neighbour is shown in place of a tab that is closed, and a new one after the last", () => {
  expect(closeTab(three, id(2), newTab(id(9))).shown).toBe(id(3));
  expect(closeTab({ ...three, shown: id(3) }, id(3), newTab(id(9))).shown).toBe(id(2));
  expect(closeTab(three, id(1), newTab(id(9)))).toMatchObject({ shown: id(2), list: [{ id: id(2) }, { id: id(3) }] });
  expect(closeTab({ list: [newTab(id(1))], shown: id(1) }, id(1), newTab(id(9))).shown).toBe(id(9));
  expect(closeTab(three, id(7), newTab(id(9)))).toBe(three);
});

test("tabs go round, and keep title and place", () => {
  expect(neighbour({ ...three, shown: id(3) }, 1).shown).toBe(id(1));
  expect(neighbour({ ...three, shown: id(1) }, -1).shown).toBe(id(3));
  expect(titled(three, id(2), "vim").list[1]!.title).toBe("vim");
  expect(replaceTab(three, id(2), newTab(id(8)))).toMatchObject({ shown: id(8), list: [{}, { id: id(8) }, {}] });
});

test("a reload finds the terminals again, and runs no command a second time", () => {
  const text = stored({ list: [newTab(id(1), "rm -rf /"), { ...newTab(id(2)), title: "top" }], shown: id(1) });
  expect(text).not.toContain("rm");
  expect(restored(text)).toEqual([
    { id: id(1), known: true, command: "", title: "" },
    { id: id(2), known: true, command: "", title: "top" },
  ]);
});

test.each([
  null,
  "",
  "{",
  "7",
  '{"a":1}',
  '[null,7,{"id":"x","title":""},{"id":7}]',
  '[{"id":"javascript:","title":"x"}]',
])("what is stored may be anything: %j", (text) => {
  expect(restored(text)).toEqual([]);
});
