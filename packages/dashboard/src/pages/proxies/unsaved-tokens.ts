/**
 * Tokens of proxies until a person states that they are saved: the deployment has only their hashes. They outlive the page
 * of the proxies, and end with the login and with the document.
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
