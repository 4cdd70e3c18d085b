import type { ComponentChildren, JSX } from "preact";
import { address } from "../router/location.ts";
import { Crumbs } from "../ui/crumbs.tsx";

const TABS = [
  ["/deployment/overview", "Overview"],
  ["/deployment/network", "Network"],
  ["/deployment/shares", "Shares"],
  ["/deployment/connections", "Connections"],
] as const;

/** What the pages of a deployment have in common: their heading and the way between them. */
export function DeploymentFrame({
  title,
  children,
}: {
  readonly title: string;
  readonly children: ComponentChildren;
}): JSX.Element {
  const here = address.value.pathname === "/deployment" ? "/deployment/overview" : address.value.pathname;
  return (
    <section class="page">
      <Crumbs steps={[["/deployment/overview", "Deployment"]]} />
      <div class="page-head">
        <h1>{title}</h1>
      </div>
      <nav class="tabs" aria-label="Deployment">
        {TABS.map(([href, label]) => (
          <a key={href} href={href} aria-current={href === here ? "page" : undefined}>
            {label}
          </a>
        ))}
      </nav>
      {children}
    </section>
  );
}
