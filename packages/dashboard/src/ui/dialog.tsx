import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

/** Confirming buttons ignore clicks this soon after they appear, because such a click was meant for something else. */
const IGNORE_CLICKS_MS = 500;

export interface DialogProps {
  readonly title: string;
  readonly onCancel: () => void;
  readonly children: ComponentChildren;
  /** Neither Escape nor a click outside closes the dialog: it must be answered. */
  readonly insistent?: boolean;
}

/** A modal dialog, open while it is mounted. */
export function Dialog({ title, onCancel, children, insistent = false }: DialogProps): JSX.Element {
  const element = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={element}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        if (!insistent) onCancel();
      }}
      onKeyDown={(event) => {
        // A second Escape would close it even though "cancel" was prevented.
        if (event.key === "Escape" && insistent) event.preventDefault();
      }}
      onClick={(event) => {
        if (event.target === element.current && !insistent) onCancel();
      }}
    >
      <div class="dialog-body">
        <h2 id={heading}>{title}</h2>
        {children}
      </div>
    </dialog>
  );
}

/** A button that confirms. See {@link IGNORE_CLICKS_MS}. */
export function ConsentButton({
  onAgree,
  children,
  danger = false,
  disabled = false,
}: {
  readonly onAgree: () => void;
  readonly children: ComponentChildren;
  readonly danger?: boolean;
  readonly disabled?: boolean;
}): JSX.Element {
  const shownAt = useRef(performance.now());
  return (
    <button
      type="button"
      class={`button ${danger ? "danger" : "primary"}`}
      disabled={disabled}
      onClick={() => {
        if (performance.now() - shownAt.current >= IGNORE_CLICKS_MS) onAgree();
      }}
    >
      {children}
    </button>
  );
}
