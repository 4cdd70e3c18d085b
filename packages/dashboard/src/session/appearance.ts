/** Settings in the form in which the account stores them: the names are stock's, and ours below `terminal` are in snake case. */
import type { UserAppearance } from "coder-protocol/rest/profile";
import type { Settings } from "./settings.ts";

export function appearanceOf({ theme, ...terminal }: Settings, font: string): UserAppearance {
  const entries = Object.entries(terminal).map(([name, value]) => [snakeCase(name), value]);
  return { theme_preference: theme, terminal_font: font, terminal: Object.fromEntries(entries) };
}

/** The account's settings, unchecked. An empty theme means no choice. */
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
