import { expect, test } from "vitest";
import { COMMANDS, findCommand, loadCommand } from "./registry.ts";

test.each(Object.keys(COMMANDS))("%s is found by its words, also with a global flag between them", (id) => {
  const words = id.split(":");
  expect(findCommand([...words, "word", "--flag"])).toEqual({ id, argv: ["word", "--flag"] });
  if (words.length > 1)
    expect(findCommand([words[0]!, "--verbose", ...words.slice(1)])).toEqual({ id, argv: ["--verbose"] });
});

test.each([
  [["ls", "--all"], "list", ["--all"]],
  [["tokens", "rm", "x"], "tokens:remove", ["x"]],
  [["workspace-proxy", "--verbose", "rm", "x"], "wsproxy:delete", ["--verbose", "x"]],
  [["--version"], "version", []],
])("%s is another name of %s", (words, id, argv) => {
  expect(findCommand(words)).toEqual({ id, argv });
});

test("what every object has is no command", () => {
  for (const word of ["constructor", "toString", "__proto__"]) expect(findCommand([word])).toBeUndefined();
});

test("each id leads to a command of its own, which knows it", async () => {
  const commands = await Promise.all(Object.keys(COMMANDS).map(loadCommand));
  expect(commands.map(({ id }) => id)).toEqual(Object.keys(COMMANDS));
});

test("a word that continues no name belongs to the command", () => {
  expect(findCommand(["server", "keys"])).toEqual({ id: "server", argv: ["keys"] });
  expect(findCommand(["nothing", "keys", "generate"])).toBeUndefined();
  expect(findCommand([])).toBeUndefined();
});
