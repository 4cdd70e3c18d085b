import { type UserAppearance, userAppearance } from "coder-protocol/rest/profile";

const NONE: UserAppearance = { theme_preference: "", terminal_font: "", terminal: {} };

/** What was stored, or no choice where nothing was, or where another release wrote it in another form. */
export function appearanceView(stored: string | undefined): UserAppearance {
  return stored === undefined ? NONE : (userAppearance.safeParse(JSON.parse(stored)).data ?? NONE);
}
