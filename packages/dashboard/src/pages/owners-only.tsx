import type { JSX } from "preact";

export function OwnersOnly({ title }: { readonly title: string }): JSX.Element {
  return (
    <section class="page narrow">
      <h1>{title}</h1>
      <p>Only owners of this deployment see this page. One of them can make you an owner, under Users.</p>
    </section>
  );
}
