import type { JSX } from "preact";

const KEYS = [
  ["Esc", "\u001b"],
  ["Tab", "\t"],
  ["Ctrl-C", "\u0003"],
  ["Ctrl-D", "\u0004"],
  ["←", "\u001b[D"],
  ["↓", "\u001b[B"],
  ["↑", "\u001b[A"],
  ["→", "\u001b[C"],
  ["|", "|"],
  ["~", "~"],
  ["/", "/"],
] as const;

/** Keys that a touch keyboard lacks; shown where there is one. */
export function KeyRow({ onKey }: { readonly onKey: (text: string) => void }): JSX.Element {
  return (
    <div class="key-row" role="toolbar" aria-label="Keys">
      {KEYS.map(([label, text]) => (
        <button key={label} type="button" class="button small" onClick={() => onKey(text)}>
          {label}
        </button>
      ))}
    </div>
  );
}
