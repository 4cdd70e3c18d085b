import type { JSX } from "preact";
import { address } from "../router/location.ts";

export function NotFound(): JSX.Element {
  return (
    <section class="page narrow">
      <h1>There is no such page</h1>
      <p>
        Nothing is at <code>{address.value.pathname.slice(0, 200)}</code>. This deployment manages machines that run an
        agent: it has no templates, organizations or audit pages.
      </p>
      <p>
        <a class="button primary" href="/workspaces">
          Workspaces
        </a>
      </p>
    </section>
  );
}
