import type { UpdateWorkspaceProxyResponse, WorkspaceProxy } from "coder-protocol/rest/workspace-proxies";
import { expect, test } from "vitest";
import { type Asking, afterAnswer, type Shown, withoutProxy } from "./after-answer.ts";

const proxyOf = (id: string) => ({ id, name: id }) as WorkspaceProxy;
const madeOf = (id: string, proxy_token: string): UpdateWorkspaceProxyResponse => ({ proxy: proxyOf(id), proxy_token });
const tokensOf = ({ tokens }: Pick<Shown, "tokens">) => tokens.map(({ proxy_token }) => proxy_token);

test("the dialog that was answered closes, and one that was opened meanwhile stays", () => {
  const first: Asking = { what: "create" };
  const second: Asking = { what: "create" };
  expect(afterAnswer({ asking: first, tokens: [] }, first).asking).toBeUndefined();
  expect(afterAnswer({ asking: second, tokens: [] }, first).asking).toBe(second);
  expect(afterAnswer({ asking: undefined, tokens: [] }, first).asking).toBeUndefined();
});

test("a token stays until it is saved, replaced by one of its proxy, or its proxy is deleted", () => {
  const create: Asking = { what: "create" };
  const one = afterAnswer({ asking: create, tokens: [] }, create, madeOf("a", "a1"));
  const two = afterAnswer({ asking: undefined, tokens: one.tokens }, create, madeOf("b", "b1"));
  expect(tokensOf(two)).toEqual(["a1", "b1"]);
  const replaced = afterAnswer(two, { what: "token", proxy: proxyOf("a") }, madeOf("a", "a2"));
  expect(tokensOf(replaced)).toEqual(["b1", "a2"]);
  expect(tokensOf(afterAnswer(replaced, { what: "edit", proxy: proxyOf("a") }))).toEqual(["b1", "a2"]);
  expect(tokensOf({ tokens: withoutProxy(replaced.tokens, "b") })).toEqual(["a2"]);
});

test("the token of a proxy whose deletion is answered late goes, whatever is asked by then", () => {
  const later: Asking = { what: "edit", proxy: proxyOf("b") };
  const shown = { asking: later, tokens: [madeOf("a", "a1"), madeOf("b", "b1")] };
  const after = afterAnswer(shown, { what: "delete", proxy: proxyOf("a") });
  expect([after.asking, tokensOf(after)]).toEqual([later, ["b1"]]);
});
