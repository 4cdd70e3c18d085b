import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { lastAnswerAt, serverVersion } from "../api/client.ts";
import { logOut } from "../api/users.ts";
import { clockTime } from "../base/words.ts";
import { linkUp } from "../live/stream/link.ts";
import { address } from "../router/location.ts";
import { isOwner, user } from "../session/session.ts";
import { Brand } from "../ui/brand.tsx";
import { Icon, type IconName } from "../ui/icon.tsx";
import { KeyHelp } from "./key-help.tsx";
import { startKeys } from "./keys.ts";
import { Palette } from "./palette.tsx";

interface Entry {
  readonly href: string;
  readonly label: string;
  readonly icon: IconName;
  readonly owners?: true;
}

const ENTRIES: readonly Entry[] = [
  { href: "/workspaces", label: "Workspaces", icon: "box" },
  { href: "/users", label: "Users", icon: "people", owners: true },
  { href: "/health", label: "Health", icon: "pulse", owners: true },
  { href: "/deployment", label: "Deployment", icon: "server", owners: true },
];

/** The frame of every page: the bar, the palette, and lines about the connection and a new version. */
export function Shell({
  children,
  loadedVersion,
  bare,
}: {
  readonly children: ComponentChildren;
  readonly loadedVersion: string;
  /** The page takes the whole height, as the terminal does. */
  readonly bare: boolean;
}): JSX.Element {
  const open = useSignal<"none" | "palette" | "keys">("none");
  useEffect(
    () =>
      startKeys({
        palette: () => {
          open.value = open.value === "palette" ? "none" : "palette";
        },
        help: () => {
          open.value = "keys";
        },
      }),
    [open],
  );
  const close = (): void => {
    open.value = "none";
  };
  return (
    <div class={bare ? "shell bare" : "shell"}>
      <a class="skip" href="#content">
        Skip to the content
      </a>
      <header class="bar">
        <a class="brand" href="/workspaces" aria-label="Coder, workspaces">
          <Brand size={24} />
        </a>
        <nav aria-label="Pages">
          {ENTRIES.filter(({ owners }) => owners === undefined || isOwner.value).map(({ href, label, icon }) => (
            <a key={href} href={href} aria-current={isCurrent(href) ? "page" : undefined}>
              <Icon name={icon} />
              <span>{label}</span>
            </a>
          ))}
        </nav>
        <button
          type="button"
          class="palette-button"
          onClick={() => {
            open.value = "palette";
          }}
        >
          <Icon name="search" />
          <span>Search</span>
          <kbd>{isMac() ? "⌘K" : "Ctrl K"}</kbd>
        </button>
        <UserMenu />
      </header>
      <Banners loadedVersion={loadedVersion} />
      <main id="content" tabIndex={-1}>
        {children}
      </main>
      {open.value === "palette" ? <Palette onClose={close} /> : null}
      {open.value === "keys" ? <KeyHelp onClose={close} /> : null}
    </div>
  );
}

function isCurrent(href: string): boolean {
  const { pathname } = address.value;
  if (href === "/workspaces" && (pathname === "/" || pathname.startsWith("/@"))) return true;
  return pathname === href || pathname.startsWith(`${href}/`);
}

function isMac(): boolean {
  return /Mac|iPhone|iPad/.test(navigator.userAgent);
}

function UserMenu(): JSX.Element {
  const name = user.value?.username ?? "";
  return (
    <div class="user">
      <button type="button" class="button quiet-button" popovertarget="user-menu" aria-haspopup="menu">
        <span class="avatar" aria-hidden="true">
          {name.slice(0, 1).toUpperCase()}
        </span>
        <span class="user-name">{name}</span>
      </button>
      <div id="user-menu" class="menu" popover="auto">
        <p class="quiet">{user.value?.email}</p>
        <a href="/settings/account" onClick={closeMenu}>
          <Icon name="gear" /> Settings
        </a>
        <a href="/settings/tokens" onClick={closeMenu}>
          <Icon name="key" /> Tokens
        </a>
        <a href="/cli-auth" target="_blank" rel="noreferrer">
          <Icon name="terminal" /> Log in the command line
        </a>
        <button
          type="button"
          onClick={() => {
            const leave = (): void => location.assign("/login");
            logOut().then(leave, leave);
          }}
        >
          <Icon name="out" /> Log out
        </button>
      </div>
    </div>
  );
}

function closeMenu(): void {
  document.getElementById("user-menu")?.hidePopover();
}

/** A reconnection is usually quick, so a short interruption is not mentioned. */
const LOST_AFTER_MS = 4_000;

function Banners({ loadedVersion }: { readonly loadedVersion: string }): JSX.Element {
  const lost = useSignal(false);
  const up = linkUp.value;
  useEffect(() => {
    lost.value = false;
    if (up) return;
    const timer = setTimeout(() => {
      lost.value = true;
    }, LOST_AFTER_MS);
    return () => clearTimeout(timer);
  }, [up, lost]);
  const outdated = loadedVersion !== "" && serverVersion.value !== loadedVersion;
  return (
    <div aria-live="polite">
      {lost.value ? (
        <p class="banner warn">
          <Icon name="warning" /> Live updates are interrupted; this is as of {clockTime(lastAnswerAt.value)}. Trying
          again…
        </p>
      ) : null}
      {outdated ? (
        <p class="banner">
          The server runs a new version.
          <button type="button" class="button small" onClick={() => location.reload()}>
            Reload
          </button>
        </p>
      ) : null}
    </div>
  );
}
