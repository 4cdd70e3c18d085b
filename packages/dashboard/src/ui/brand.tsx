import type { JSX } from "preact";

/** The same drawing as /icon/coder.svg, in the page itself to spare a request. Decoration only. */
export function Brand({ size }: { readonly size: number }): JSX.Element {
  return (
    <svg viewBox="0 0 32 32" width={size} height={size} aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#17181b" />
      <g fill="none" stroke-width="3" stroke-linecap="round" stroke-linejoin="round">
        <path d="M9 11l5 5-5 5" stroke="#7fb2ff" />
        <path d="M17 21h6" stroke="#ececee" />
      </g>
    </svg>
  );
}
