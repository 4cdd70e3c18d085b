import { navigate } from "../router/location.ts";

export interface KeyActions {
  palette(): void;
  help(): void;
}

/** `g` followed by one of these within a second. */
export const GO_TO: Readonly<Record<string, { readonly path: string; readonly label: string }>> = {
  w: { path: "/workspaces", label: "Workspaces" },
  n: { path: "/workspaces/new", label: "Add a machine" },
  h: { path: "/health", label: "Health" },
  u: { path: "/users", label: "Users" },
  s: { path: "/settings/account", label: "Settings" },
};
const SECOND_KEY_WITHIN_MS = 1_000;

/** Handles the keys of every page, outside inputs and terminals. Returns a function that ends this. */
export function startKeys(actions: KeyActions): () => void {
  const life = new AbortController();
  let goUntil = 0;
  addEventListener(
    "keydown",
    (event) => {
      const typing = isTyping(event.target);
      if ((event.metaKey || event.ctrlKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k") {
        if (inTerminal(event.target)) return; // in a terminal, Ctrl-K belongs to the shell
        event.preventDefault();
        actions.palette();
        return;
      }
      if (typing || event.metaKey || event.ctrlKey || event.altKey || document.querySelector("dialog[open]") !== null)
        return;
      const target = event.timeStamp < goUntil ? GO_TO[event.key] : undefined;
      goUntil = event.key === "g" ? event.timeStamp + SECOND_KEY_WITHIN_MS : 0;
      if (target !== undefined) {
        event.preventDefault();
        navigate(target.path);
      } else if (event.key === "?") {
        event.preventDefault();
        actions.help();
      } else if (event.key === "/") {
        const filter = document.querySelector<HTMLInputElement>("input[type=search]");
        if (filter === null) return;
        event.preventDefault();
        filter.focus();
      }
    },
    { signal: life.signal },
  );
  return () => life.abort();
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

function inTerminal(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest(".xterm") !== null;
}
