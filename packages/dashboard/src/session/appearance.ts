/** Settings in the form in which the account keeps them: the names are stock's, and below `terminal` ours in snake case. */
import type { UserAppearance } from "coder-protocol/rest/profile";
import type { Settings } from "./settings.ts";

export function appearanceOf({ theme, ...terminal }: Settings, font: string): UserAppearance {
  const entries = Object.entries(terminal).map(([name, value]) => [snakeCase(name), value]);
  return { theme_preference: theme, terminal_font: font, terminal: Object.fromEntries(entries) };
}

/** What the account holds, unchecked. An empty theme is no choice. */
export function settingsOf({ theme_preference: theme, terminal }: UserAppearance): Record<string, unknown> {
  const entries = Object.entries(terminal).map(([name, value]) => [camelCase(name), value]);
  return { ...Object.fromEntries(entries), theme: theme || undefined };
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
