import type { JSX } from "preact";

const GENERIC = "/icon/widgets.svg";

/** An app's icon, or the generic one when it has none or this deployment lacks it. Decoration only. */
export function AppIcon({ icon }: { readonly icon: string }): JSX.Element {
  const own = /^(?:\/icon\/[A-Za-z0-9_-]+\.svg$|data:image\/(?:png|webp|svg\+xml)[;,])/.test(icon);
  return (
    <img
      src={own ? icon : GENERIC}
      alt=""
      width="16"
      height="16"
      onError={({ currentTarget }) => {
        if (!currentTarget.src.endsWith(GENERIC)) currentTarget.src = GENERIC;
      }}
    />
  );
}
