import { expect, test } from "vitest";
import { COMMANDS, findCommand } from "./registry.ts";

test.each(Object.keys(COMMANDS))("%s is found by its words, also with a global flag between them", (id) => {
  const words = id.split(":");
  expect(findCommand([...words, "word", "--flag"])).toEqual({ id, argv: ["word", "--flag"] });
  if (words.length > 1)
    expect(findCommand([words[0]!, "--verbose", ...words.slice(1)])).toEqual({ id, argv: ["--verbose"] });
});

test("a word that continues no name belongs to the command", () => {
  expect(findCommand(["server", "keys"])).toEqual({ id: "server", argv: ["keys"] });
  expect(findCommand(["nothing", "keys", "generate"])).toBeUndefined();
  expect(findCommand([])).toBeUndefined();
});
