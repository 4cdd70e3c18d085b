import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";

/** Searches the screen and the scroll-back. */
export function SearchBox({
  onSearch,
  onClose,
}: {
  readonly onSearch: (text: string, back: boolean) => boolean;
  readonly onClose: () => void;
}): JSX.Element {
  const input = useRef<HTMLInputElement>(null);
  const missing = useSignal(false);
  useEffect(() => input.current?.focus(), []);
  const search = (back: boolean): void => {
    const text = input.current?.value ?? "";
    missing.value = text !== "" && !onSearch(text, back);
  };
  return (
    <search class="terminal-search">
      <input
        ref={input}
        type="text"
        aria-label="Search in the terminal"
        aria-invalid={missing.value}
        placeholder="Search"
        onInput={() => search(true)}
        onKeyDown={(event) => {
          if (event.key === "Escape") onClose();
          else if (event.key === "Enter") search(!event.shiftKey);
        }}
      />
      <button type="button" class="button small" onClick={() => search(true)} aria-label="Earlier">
        ↑
      </button>
      <button type="button" class="button small" onClick={() => search(false)} aria-label="Later">
        ↓
      </button>
      <button type="button" class="button small" onClick={onClose}>
        Close
      </button>
    </search>
  );
}
