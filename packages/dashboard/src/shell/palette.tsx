import { useSignal } from "@preact/signals";
import type { WorkspaceListRow } from "coder-protocol/rest/dashboard";
import type { JSX } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { useWorkspaces } from "../live/sources.ts";
import { navigate } from "../router/location.ts";
import { isOwner } from "../session/session.ts";
import { Icon, type IconName } from "../ui/icon.tsx";
import { type Choice, ranked } from "./ranking.ts";

const MAX_SHOWN = 12;

const PAGES: readonly (Choice & { readonly icon: IconName; readonly owners?: true })[] = [
  { label: "Workspaces", path: "/workspaces", icon: "box" },
  { label: "Add a machine", path: "/workspaces/new", icon: "plus" },
  { label: "Account", path: "/settings/account", icon: "gear" },
  { label: "Sessions", path: "/settings/security", icon: "gear" },
  { label: "Tokens", path: "/settings/tokens", icon: "key" },
  { label: "Appearance", path: "/settings/appearance", icon: "gear" },
  { label: "Users", path: "/users", icon: "people", owners: true },
  { label: "Health", path: "/health", icon: "pulse", owners: true },
  { label: "Deployment", path: "/deployment", icon: "server", owners: true },
  { label: "Network and relays", path: "/deployment/network", icon: "server", owners: true },
  { label: "Workspace proxies", path: "/deployment/proxies", icon: "server", owners: true },
  { label: "Shares", path: "/deployment/shares", icon: "server", owners: true },
  { label: "Connection log", path: "/deployment/connections", icon: "server", owners: true },
];

/** Jumps to a page or a workspace by a few letters of its name. */
export function Palette({ onClose }: { readonly onClose: () => void }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const list = useId();
  const text = useSignal("");
  const at = useSignal(0);
  const workspaces = useWorkspaces("").data.value ?? [];
  useEffect(() => dialog.current?.showModal(), []);

  const choices = [...PAGES.filter(({ owners }) => owners === undefined || isOwner.value), ...placesOf(workspaces)];
  const shown = ranked(choices, text.value).slice(0, MAX_SHOWN);
  const go = (path: string): void => {
    onClose();
    navigate(path);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      at.value = (at.value + step + shown.length) % Math.max(1, shown.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      const choice = shown[at.value];
      if (choice !== undefined) go(choice.path);
    }
  };
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape is the keyboard's way, and comes as "cancel"
    <dialog
      ref={dialog}
      class="palette"
      aria-label="Search pages and workspaces"
      onCancel={onClose}
      onClick={(event) => {
        if (event.target === dialog.current) onClose();
      }}
    >
      <input
        type="text"
        role="combobox"
        aria-label="Page or workspace"
        aria-expanded="true"
        aria-controls={list}
        aria-activedescendant={shown.length === 0 ? undefined : `${list}-${at.value}`}
        placeholder="Page or workspace"
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => {
          text.value = event.currentTarget.value;
          at.value = 0;
        }}
        onKeyDown={onKeyDown}
      />
      <div id={list} role="listbox" aria-label="Pages and workspaces">
        {shown.map(({ label, path, icon }, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the input has the keyboard, by the combobox pattern
          // biome-ignore lint/a11y/useFocusableInteractive: options are reached by aria-activedescendant
          <div
            key={path}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === at.value}
            onClick={() => go(path)}
            onPointerMove={() => {
              at.value = index;
            }}
          >
            <Icon name={icon} /> {label} <span class="quiet">{path}</span>
          </div>
        ))}
      </div>
      {shown.length === 0 ? <p class="quiet">Nothing has these letters in its name.</p> : null}
    </dialog>
  );
}

function placesOf(workspaces: readonly WorkspaceListRow[]): (Choice & { readonly icon: IconName })[] {
  return workspaces.flatMap(({ owner_name: owner, name }) => [
    { label: `${owner}/${name}`, path: `/@${owner}/${name}`, icon: "box" },
    { label: `${owner}/${name} terminal`, path: `/@${owner}/${name}/terminal`, icon: "terminal" },
  ]);
}
