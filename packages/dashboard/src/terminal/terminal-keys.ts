/** Keys that the page handles before the program gets them. */
export type TerminalKey =
  | { readonly kind: "copy" | "paste" | "search" | "leave" | "larger" | "smaller" | "standard-size" }
  | { readonly kind: "new-tab" | "close-tab" | "next-tab" | "earlier-tab" }
  /** Sent instead of what the emulator would send. */
  | { readonly kind: "send"; readonly text: string };

interface Key {
  readonly key: string;
  readonly code: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly shiftKey: boolean;
  readonly altKey: boolean;
}

/** @param copies Whether Ctrl+C copies: if the setting is on, and only while something is selected. */
export function terminalKey(
  { key, code, ctrlKey, metaKey, shiftKey, altKey }: Key,
  { copies }: { readonly copies: boolean },
): TerminalKey | undefined {
  if (key === "Enter" && shiftKey && !ctrlKey && !metaKey && !altKey) return { kind: "send", text: "\u001b\r" };
  if (key === "Insert" && shiftKey && !ctrlKey && !altKey) return { kind: "paste" };
  if (altKey || !(ctrlKey || metaKey)) return undefined;
  if (key === "Escape" && ctrlKey && shiftKey) return { kind: "leave" };
  // Browsers keep some of these for themselves.
  if (ctrlKey && shiftKey && code === "KeyT") return { kind: "new-tab" };
  if (ctrlKey && shiftKey && code === "KeyW") return { kind: "close-tab" };
  if (ctrlKey && key === "Tab") return { kind: shiftKey ? "earlier-tab" : "next-tab" };
  if (shiftKey || (metaKey && !ctrlKey)) {
    if (code === "KeyC") return { kind: "copy" };
    if (code === "KeyV") return { kind: "paste" };
    if (code === "KeyF") return { kind: "search" };
  }
  if (!shiftKey && ctrlKey && code === "KeyV") return { kind: "paste" };
  if (!shiftKey && ctrlKey && code === "KeyC" && copies) return { kind: "copy" };
  if (key === "+" || key === "=") return { kind: "larger" };
  if (key === "-") return { kind: "smaller" };
  if (key === "0") return { kind: "standard-size" };
  return undefined;
}
