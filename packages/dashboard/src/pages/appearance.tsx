import type { JSX } from "preact";
import { changeSettings, type Settings, settings } from "../session/settings.ts";
import { SettingsFrame } from "./settings-frame.tsx";

/** Theme and terminal. */
export function Appearance(): JSX.Element {
  const chosen = settings.value;
  return (
    <SettingsFrame title="Appearance">
      <p class="quiet">These choices are kept in your account and apply in all your browsers.</p>
      <Choice
        name="theme"
        label="Theme"
        value={chosen.theme}
        options={[
          ["system", "Same as the system"],
          ["light", "Light"],
          ["dark", "Dark"],
        ]}
      />
      <h2>Terminal</h2>
      <Choice
        name="terminalFont"
        label="Font"
        value={chosen.terminalFont}
        options={[
          ["jetbrains-mono", "JetBrains Mono"],
          ["system", "The system's"],
        ]}
      />
      <div class="field">
        <label for="size">Font size</label>
        <input
          id="size"
          type="number"
          min="10"
          max="24"
          value={chosen.terminalFontSize}
          onChange={(event) => {
            if (event.currentTarget.validity.valid)
              changeSettings({ terminalFontSize: event.currentTarget.valueAsNumber });
          }}
        />
      </div>
      <Choice
        name="terminalRenderer"
        label="Drawn by"
        value={chosen.terminalRenderer}
        options={[
          ["auto", "The fastest available"],
          ["webgl", "The graphics processor"],
          ["dom", "The page"],
        ]}
      />
      <Choice
        name="clipboardFromWorkspace"
        label="Programs that copy to the clipboard"
        value={chosen.clipboardFromWorkspace}
        options={[
          ["ask", "Ask each time"],
          ["allow", "Allow"],
          ["deny", "Refuse"],
        ]}
      />
      <div class="field">
        <label for="keep">Hours for which a terminal runs on after its last page was closed</label>
        <input
          id="keep"
          type="number"
          min="1"
          max="72"
          value={Math.round(chosen.terminalKeepSeconds / 3600)}
          onChange={(event) => {
            if (event.currentTarget.validity.valid)
              changeSettings({ terminalKeepSeconds: event.currentTarget.valueAsNumber * 3600 });
          }}
        />
      </div>
      <Switch name="copyOnSelect" label="Copy what is selected" />
      <Switch name="ctrlCCopies" label="Ctrl+C copies while something is selected" />
      <Switch name="dropFlood" label="Ctrl+C drops output that waits for the screen" />
      <Switch name="plainClickOpensLinks" label="Open links with a plain click, without Ctrl" />
      <Switch name="screenReader" label="Read the output to a screen reader" />
    </SettingsFrame>
  );
}

type ChoiceName = "theme" | "terminalFont" | "terminalRenderer" | "clipboardFromWorkspace";
type SwitchName = "copyOnSelect" | "ctrlCCopies" | "dropFlood" | "plainClickOpensLinks" | "screenReader";

function Choice<Name extends ChoiceName>({
  name,
  label,
  value,
  options,
}: {
  readonly name: Name;
  readonly label: string;
  readonly value: Settings[Name];
  readonly options: readonly (readonly [Settings[Name], string])[];
}): JSX.Element {
  return (
    <fieldset class="choice">
      <legend>{label}</legend>
      {options.map(([option, words]) => (
        <label key={option}>
          <input
            type="radio"
            name={name}
            checked={option === value}
            onChange={() => changeSettings({ [name]: option } as Partial<Settings>)}
          />
          {words}
        </label>
      ))}
    </fieldset>
  );
}

function Switch({ name, label }: { readonly name: SwitchName; readonly label: string }): JSX.Element {
  return (
    <label class="switch">
      <input
        type="checkbox"
        checked={settings.value[name]}
        onChange={(event) => changeSettings({ [name]: event.currentTarget.checked } as Partial<Settings>)}
      />
      {label}
    </label>
  );
}
