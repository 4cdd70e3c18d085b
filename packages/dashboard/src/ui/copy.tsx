import { useSignal } from "@preact/signals";
import { Fragment, type JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Icon } from "./icon.tsx";

const SHOWN_MS = 2_000;

/** A button that copies a text and confirms it. */
export function CopyButton({ text, label = "Copy" }: { readonly text: string; readonly label?: string }): JSX.Element {
  const state = useSignal<"idle" | "copied" | "failed">("idle");
  useEffect(() => {
    if (state.value === "idle") return;
    const timer = setTimeout(() => {
      state.value = "idle";
    }, SHOWN_MS);
    return () => clearTimeout(timer);
  }, [state.value, state]);
  const copy = (): void => {
    navigator.clipboard.writeText(text).then(
      () => {
        state.value = "copied";
      },
      () => {
        state.value = "failed";
      },
    );
  };
  return (
    <button type="button" class="button small" onClick={copy} aria-live="polite">
      <Icon name={state.value === "copied" ? "check" : "copy"} />
      {{ idle: label, copied: "Copied", failed: "Select and copy it" }[state.value]}
    </button>
  );
}

/** A line to paste into a shell. `secret` hides it until the user asks for it; it can be copied while hidden. */
export function CommandLine({
  text,
  label,
  secret = false,
}: {
  readonly text: string;
  readonly label: string;
  readonly secret?: boolean;
}): JSX.Element {
  const shown = useSignal(!secret);
  return (
    <section class="command" aria-label={label}>
      <code>{shown.value ? words(text.trim()) : "•".repeat(48)}</code>
      <div class="command-actions">
        {secret ? (
          <button
            type="button"
            class="button small"
            aria-pressed={shown.value}
            onClick={() => {
              shown.value = !shown.value;
            }}
          >
            {shown.value ? "Hide" : "Show"}
          </button>
        ) : null}
        <CopyButton text={text} />
      </div>
    </section>
  );
}

/** Lets a line break between words, not after the hyphens of an option. */
function words(line: string): JSX.Element[] {
  return line.split(" ").map((word, index) => (
    <Fragment key={index}>
      {index === 0 ? "" : " "}
      <span class="word">{word}</span>
    </Fragment>
  ));
}
