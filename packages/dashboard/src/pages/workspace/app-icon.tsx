import type { JSX } from "preact";

const GENERIC = "/icon/widgets.svg";

/** The picture of an app; the generic one where it has none, or one that this deployment does not have. Decoration only. */
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
