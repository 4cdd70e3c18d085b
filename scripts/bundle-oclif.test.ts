import { expect, test } from "vitest";
import { withLazyRequires } from "./bundle-oclif.ts";

test("a module is loaded when it is used, and once", () => {
  const source = [
    'const a_1 = require("./a");',
    'const b_1 = __importDefault(require("b"));',
    "exports.make = () => new b_1.default((0, a_1.one)(), { a_1: 1 }, this.a_1);",
  ].join("\n");
  const { text, count } = withLazyRequires(source);
  expect(count).toBe(2);
  const loaded: string[] = [];
  const require = (name: string): unknown => {
    loaded.push(name);
    return name === "b" ? class B {} : { one: () => 1 };
  };
  const exports: { make?: () => object } = {};
  new Function("require", "exports", "__importDefault", text)(require, exports, (value: unknown) => ({
    default: value,
  }));
  expect(loaded).toEqual([]);
  expect(exports.make?.()).toBeInstanceOf(Object);
  exports.make?.();
  expect(loaded).toEqual(["b", "./a"]);
});

test("other statements stay as they are", () => {
  const source = 'const { a } = require("a");\nconst b = require("b").c;\nlet d_1 = require("d");';
  expect(withLazyRequires(source)).toEqual({ text: source, count: 0 });
});
