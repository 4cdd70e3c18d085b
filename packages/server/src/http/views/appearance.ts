import { type UserAppearance, userAppearance } from "coder-protocol/rest/profile";

const NONE: UserAppearance = { theme_preference: "", terminal_font: "", terminal: {} };

/** The stored choice; the default if nothing was stored, or if another release stored it in another form. */
export function appearanceView(stored: string | undefined): UserAppearance {
  return stored === undefined ? NONE : (userAppearance.safeParse(JSON.parse(stored)).data ?? NONE);
}
