import type { JSX } from "preact";
import type { ApiError } from "../api/client.ts";

/** What went wrong, why, and what to do next. */
export function Problem({
  error,
  retry,
}: {
  readonly error: ApiError;
  readonly retry?: (() => void) | undefined;
}): JSX.Element {
  return (
    <div class="problem" role="alert">
      <p>{sentence(error.message)}</p>
      {error.detail === "" ? null : <p class="quiet">{sentence(error.detail)}</p>}
      {retry === undefined ? null : (
        <button type="button" class="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
