/**
 * Tokens of proxies that the user has not confirmed to have saved: the deployment has only their hashes. They outlive the page of
 * proxies, and end with the login and the document.
 */
import { effect, signal } from "@preact/signals";
import { askBeforeUnload } from "../../base/ask-before-unload.ts";
import { user } from "../../session/session.ts";
import type { Shown } from "./after-answer.ts";

export const unsavedTokens = signal<Shown["tokens"]>([]);

effect(() => {
  if (user.value === null) unsavedTokens.value = [];
});
effect(() => (unsavedTokens.value.length === 0 ? undefined : askBeforeUnload()));
