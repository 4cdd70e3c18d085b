import { userAppearance } from "coder-protocol/rest/profile";
import { expect, test } from "vitest";
import { appearanceOf, settingsOf } from "./appearance.ts";
import { STANDARD } from "./settings.ts";

test("settings survive the way to the account and back, in a form that the server takes", () => {
  const chosen = { ...STANDARD, theme: "dark" as const, terminalFontSize: 18, ctrlCCopies: true };
  const kept = appearanceOf(chosen, "fira-code");
  expect(userAppearance.parse(kept)).toEqual(kept);
  expect(kept).toMatchObject({
    theme_preference: "dark",
    terminal_font: "fira-code",
    terminal: { terminal_font_size: 18 },
  });
  expect(settingsOf(kept)).toEqual(chosen);
});

test("an account without a choice changes nothing", () => {
  expect(settingsOf({ theme_preference: "", terminal_font: "", terminal: {} })).toEqual({});
});
