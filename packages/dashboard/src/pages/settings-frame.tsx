import type { ComponentChildren, JSX } from "preact";
import { address } from "../router/location.ts";
import { Breadcrumbs } from "../ui/breadcrumbs.tsx";

const TABS = [
  ["/settings/account", "Account"],
  ["/settings/security", "Sessions"],
  ["/settings/tokens", "Tokens"],
  ["/settings/appearance", "Appearance"],
] as const;

export function SettingsFrame({
  title,
  children,
}: {
  readonly title: string;
  readonly children: ComponentChildren;
}): JSX.Element {
  const { pathname } = address.value;
  const current = pathname === "/settings" ? "/settings/account" : pathname;
  return (
    <div class="page with-side">
      <nav aria-label="Settings">
        {TABS.map(([href, label]) => (
          <a key={href} href={href} aria-current={current === href ? "page" : undefined}>
            {label}
          </a>
        ))}
      </nav>
      <section>
        <Breadcrumbs steps={[["/settings/account", "Settings"]]} />
        <h1>{title}</h1>
        {children}
      </section>
    </div>
  );
}
