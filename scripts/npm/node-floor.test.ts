import { createContext, runInContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { floorOf, nodeFloorStatement } from "./node-floor.ts";

const statement = nodeFloorStatement("the product", "22.13", "said = sentence;");

function said(surroundings: object): unknown {
  const context = createContext({ ...surroundings, said: "" });
  runInContext(statement, context);
  return context["said"];
}

describe("the refusal of an old Node", () => {
  it.each(["0.12.18", "8.17.0", "18.20.8", "20.19.5", "22.0.0", "22.12.9"])("refuses %s", (node) => {
    expect(said({ process: { versions: { node } } })).toBe(
      `the product needs Node.js 22.13 or newer, and this is Node.js ${node}: install a newer one.`,
    );
  });

  it.each(["22.13.0", "22.13.1", "22.20.0", "23.0.0", "26.10.0", "100.0.0"])("accepts %s", (node) => {
    expect(said({ process: { versions: { node } } })).toBe("");
  });

  it("passes runtimes other than Node", () => {
    expect(said({})).toBe("");
    expect(said({ process: {} })).toBe("");
    expect(said({ process: { versions: {} } })).toBe("");
  });

  it("knows the floor of a package", () => {
    expect(floorOf({ node: ">=22.13" })).toBe("22.13");
    expect(() => floorOf({ node: "^22" })).toThrow("engines.node is not >=MAJOR.MINOR");
  });
});
