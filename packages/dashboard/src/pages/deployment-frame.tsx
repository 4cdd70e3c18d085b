import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { address } from "../router/location.ts";
import { Breadcrumbs } from "../ui/breadcrumbs.tsx";

const TABS = [
  ["/deployment/overview", "Overview"],
  ["/deployment/network", "Network"],
  ["/deployment/proxies", "Workspace proxies"],
  ["/deployment/shares", "Shares"],
  ["/deployment/connections", "Connections"],
] as const;

/** What the deployment pages have in common: heading and navigation. */
export function DeploymentFrame({
  title,
  children,
}: {
  readonly title: string;
  readonly children: ComponentChildren;
}): JSX.Element {
  const here = address.value.pathname === "/deployment" ? "/deployment/overview" : address.value.pathname;
  const tabs = useRef<HTMLElement>(null);
  useEffect(() => {
    // On a narrow screen this page's tab may be out of view.
    tabs.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, []);
  return (
    <section class="page">
      <Breadcrumbs steps={[["/deployment/overview", "Deployment"]]} />
      <div class="page-head">
        <h1>{title}</h1>
      </div>
      <nav ref={tabs} class="tabs" aria-label="Deployment">
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
