/** The user's choices, as this browser remembers them. */
import { type Signal, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

export interface Settings {
  readonly theme: Theme;
  readonly terminalFont: "jetbrains-mono" | "system";
  readonly terminalFontSize: number;
  readonly terminalRenderer: "auto" | "webgl" | "dom";
  readonly copyOnSelect: boolean;
  /** Ctrl+C without Shift copies while something is selected. */
  readonly ctrlCCopies: boolean;
  readonly plainClickOpensLinks: boolean;
  readonly clipboardFromWorkspace: "ask" | "allow" | "deny";
  readonly screenReader: boolean;
  /** Ctrl+C drops output that waits to be drawn. */
  readonly dropFlood: boolean;
  /** Seconds for which a terminal's program runs on without viewers. */
  readonly terminalKeepSeconds: number;
}

export const STANDARD: Settings = {
  theme: "system",
  terminalFont: "jetbrains-mono",
  terminalFontSize: 14,
  terminalRenderer: "auto",
  copyOnSelect: false,
  ctrlCCopies: false,
  plainClickOpensLinks: false,
  clipboardFromWorkspace: "ask",
  screenReader: false,
  dropFlood: true,
  terminalKeepSeconds: 86_400,
};
/** Limits of the server, in seconds. */
const KEEP_SECONDS = { least: 300, most: 259_200 };
const KEY = "coder-settings";

export const settings: Signal<Settings> = signal(STANDARD);

/** Loads the earlier choices and applies the theme. */
export function loadSettings(): void {
  settings.value = { ...STANDARD, ...stored() };
  applyTheme();
  // Another tab changed them.
  addEventListener("storage", (event) => {
    if (event.key !== KEY) return;
    settings.value = { ...STANDARD, ...stored() };
    applyTheme();
  });
}

/** Number of choices that the user made in this tab. */
export const changesHere = signal(0);

/** Adopts the account's settings; values unknown to this version are ignored. */
export function adoptSettings(change: unknown): void {
  apply(checked(change));
}

export function changeSettings(change: Partial<Settings>): void {
  apply(change);
  changesHere.value++;
}

function apply(change: Partial<Settings>): void {
  settings.value = { ...settings.value, ...change };
  try {
    localStorage.setItem(KEY, JSON.stringify(settings.value));
  } catch {
    // Storage is disabled or full: the choice applies until the page is left.
  }
  applyTheme();
}

function applyTheme(): void {
  document.documentElement.dataset["theme"] = settings.value.theme;
}

function stored(): Partial<Settings> {
  try {
    return checked(JSON.parse(localStorage.getItem(KEY) ?? "{}"));
  } catch {
    return {}; // not ours, or storage is disabled
  }
}

/** Only values that this version knows. */
function checked(value: unknown): Partial<Settings> {
  if (typeof value !== "object" || value === null) return {};
  const known: Record<string, (candidate: unknown) => boolean> = {
    theme: (one) => one === "system" || one === "light" || one === "dark",
    terminalFont: (one) => one === "jetbrains-mono" || one === "system",
    terminalFontSize: (one) => typeof one === "number" && one >= 10 && one <= 24,
    terminalRenderer: (one) => one === "auto" || one === "webgl" || one === "dom",
    copyOnSelect: (one) => typeof one === "boolean",
    plainClickOpensLinks: (one) => typeof one === "boolean",
    clipboardFromWorkspace: (one) => one === "ask" || one === "allow" || one === "deny",
    ctrlCCopies: (one) => typeof one === "boolean",
    screenReader: (one) => typeof one === "boolean",
    dropFlood: (one) => typeof one === "boolean",
    terminalKeepSeconds: (one) =>
      Number.isInteger(one) && Number(one) >= KEEP_SECONDS.least && Number(one) <= KEEP_SECONDS.most,
  };
  return Object.fromEntries(Object.entries(value).filter(([name, one]) => known[name]?.(one)));
}
