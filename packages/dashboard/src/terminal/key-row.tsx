import { useSignal } from "@preact/signals";
import type { JSX } from "preact";

const KEYS = [
  ["Esc", "\u001b"],
  ["Tab", "\t"],
  ["←", "\u001b[D"],
  ["↓", "\u001b[B"],
  ["↑", "\u001b[A"],
  ["→", "\u001b[C"],
  ["|", "|"],
  ["~", "~"],
  ["/", "/"],
] as const;

/** A modifier that applies to the next key. */
export type HeldKey = "ctrl" | "alt" | undefined;

/** What a key sends with a modifier held: control characters are ASCII columns 4 and 5, and Alt puts an ESC in front. */
export function withHeld(text: string, held: HeldKey): string {
  if (held === "alt") return `\u001b${text}`;
  if (held !== "ctrl" || text.length !== 1) return text;
  const code = text.toUpperCase().charCodeAt(0);
  return code >= 0x40 && code < 0x60 ? String.fromCharCode(code - 0x40) : text;
}

export interface KeyRowProps {
  readonly held: HeldKey;
  readonly onHold: (held: HeldKey) => void;
  readonly onKey: (text: string) => void;
  readonly onPaste: (text: string) => void;
}

/** Keys that a touch keyboard lacks; shown on touch devices. */
export function KeyRow({ held, onHold, onKey, onPaste }: KeyRowProps): JSX.Element {
  const refused = useSignal(false);
  const paste = (): void => {
    navigator.clipboard.readText().then(onPaste, () => {
      refused.value = true;
    });
  };
  const hold = (key: "ctrl" | "alt", label: string): JSX.Element => (
    <button
      type="button"
      class="button small"
      aria-pressed={held === key}
      onClick={() => onHold(held === key ? undefined : key)}
    >
      {label}
    </button>
  );
  return (
    <div class="key-row" role="toolbar" aria-label="Keys">
      {hold("ctrl", "Ctrl")}
      {hold("alt", "Alt")}
      {KEYS.map(([label, text]) => (
        <button key={label} type="button" class="button small" onClick={() => onKey(text)}>
          {label}
        </button>
      ))}
      <button type="button" class="button small" onClick={paste}>
        {refused.value ? "Paste refused" : "Paste"}
      </button>
    </div>
  );
}
