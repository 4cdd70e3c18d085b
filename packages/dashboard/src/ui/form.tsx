import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useId } from "preact/hooks";
import { ApiError } from "../api/client.ts";
import { Problem } from "./problem.tsx";

export interface FieldProps {
  readonly label: string;
  readonly name: string;
  readonly hint?: string | undefined;
  readonly problem?: string | undefined;
  readonly type?: "text" | "email" | "password";
  readonly value?: string;
  readonly autocomplete?: string;
  readonly required?: boolean;
  readonly maxLength?: number;
  readonly autoFocus?: boolean;
  readonly onInput?: (value: string) => void;
}

/** A labelled text input; a screen reader reads its hint or problem with it. */
export function Field(props: FieldProps): JSX.Element {
  const { label, name, hint, problem, onInput, autoFocus, required = true, type = "text", value, ...rest } = props;
  const id = useId();
  const note = problem ?? hint;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        name={name}
        type={type as "text"} // the JSX types allow only one kind of input at a time
        required={required}
        // biome-ignore lint/a11y/noAutofocus: the first field of a page that is nothing but a form
        autoFocus={autoFocus ?? false}
        aria-invalid={problem !== undefined}
        aria-describedby={note === undefined ? undefined : `${id}-note`}
        spellcheck={false}
        autocapitalize="off"
        value={value}
        onInput={onInput === undefined ? undefined : (event) => onInput(event.currentTarget.value)}
        {...rest}
      />
      {note === undefined ? null : (
        <p id={`${id}-note`} class={problem === undefined ? "note" : "note bad"}>
          {note}
        </p>
      )}
    </div>
  );
}

/** State of an action that the user starts: it runs once at a time, and its failure is shown. */
export interface Work {
  readonly running: boolean;
  readonly error: ApiError | undefined;
  run(work: () => Promise<void>): void;
}

export function useWork(): Work {
  const running = useSignal(false);
  const error = useSignal<ApiError | undefined>(undefined);
  return {
    running: running.value,
    error: error.value,
    run(work) {
      if (running.value) return;
      running.value = true;
      error.value = undefined;
      work()
        .catch((cause: unknown) => {
          if (!(cause instanceof ApiError)) throw cause;
          error.value = cause;
        })
        .finally(() => {
          running.value = false;
        });
    },
  };
}

/** A form whose values reach `onSubmit` by field name. `onCancel` is for a form in a dialog. */
export function Form({
  work,
  submit,
  children,
  onSubmit,
  onCancel,
}: {
  readonly work: Work;
  readonly submit: string;
  readonly children: ComponentChildren;
  readonly onSubmit: (values: Readonly<Record<string, string>>, form: HTMLFormElement) => Promise<void>;
  readonly onCancel?: () => void;
}): JSX.Element {
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        const form = event.currentTarget;
        const values: Record<string, string> = {};
        for (const [name, value] of new FormData(form)) if (typeof value === "string") values[name] = value;
        work.run(() => onSubmit(values, form));
      }}
    >
      {children}
      {work.error === undefined ? null : <Problem error={work.error} />}
      <div class="actions">
        {onCancel === undefined ? null : (
          <button type="button" class="button" onClick={onCancel}>
            Cancel
          </button>
        )}
        <button type="submit" class="button primary" disabled={work.running}>
          {work.running ? "One moment…" : submit}
        </button>
      </div>
    </form>
  );
}
