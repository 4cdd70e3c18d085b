import type { User } from "coder-protocol/rest/users";
import type { WorkspaceProxy } from "coder-protocol/rest/workspace-proxies";
import { afterEach, expect, test, vi } from "vitest";
import { user } from "../../session/session.ts";
import { unsavedTokens } from "./unsaved-tokens.ts";

afterEach(() => void vi.unstubAllGlobals());

test("the browser asks before a token is lost, and none outlives the login", () => {
  const page = new EventTarget();
  vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
  vi.stubGlobal("removeEventListener", page.removeEventListener.bind(page));
  const asks = (): boolean => !page.dispatchEvent(new Event("beforeunload", { cancelable: true }));
  const made = { proxy: { id: "a" } as WorkspaceProxy, proxy_token: "a1" };

  user.value = { id: "ada" } as User;
  expect(asks()).toBe(false);
  unsavedTokens.value = [made];
  expect(asks()).toBe(true);
  user.value = { id: "ada", name: "Ada" } as User;
  expect([asks(), unsavedTokens.value]).toEqual([true, [made]]);
  user.value = null;
  expect([asks(), unsavedTokens.value]).toEqual([false, []]);
});
