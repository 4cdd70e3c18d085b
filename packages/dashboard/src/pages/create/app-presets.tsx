import type { JSX } from "preact";

/** Programs that are often opened in a browser, with their default ports. */
export const APP_PRESETS = [
  { slug: "code", display_name: "VS Code", port: 13_337, program: "code-server" },
  { slug: "jupyter", display_name: "JupyterLab", port: 8_888, program: "JupyterLab" },
] as const;

export interface ChosenApp {
  readonly slug: string;
  readonly display_name: string;
  readonly url: string;
}

/** The apps selected in a form; `values` are its fields. */
export function chosenApps(values: Readonly<Record<string, string>>): ChosenApp[] {
  const apps: ChosenApp[] = APP_PRESETS.filter(({ slug }) => values[`app-${slug}`] === "on").map(
    ({ slug, display_name, port }) => ({ slug, display_name, url: `http://127.0.0.1:${port}` }),
  );
  const port = Number(values["app-port"] ?? "");
  if (Number.isInteger(port) && port >= 9 && port <= 65_535)
    apps.push({ slug: "dev", display_name: "Development server", url: `http://127.0.0.1:${port}` });
  return apps;
}

/** Apps to declare with a new workspace; they can also be added later. */
export function AppPresets(): JSX.Element {
  return (
    <fieldset class="choice">
      <legend>Web apps of this machine</legend>
      {APP_PRESETS.map(({ slug, port, program }) => (
        <label key={slug}>
          <input type="checkbox" name={`app-${slug}`} value="on" />
          {program} on port {port}
        </label>
      ))}
      <label>
        My development server, on port
        <input
          type="number"
          name="app-port"
          min="9"
          max="65535"
          class="port"
          aria-label="Port of the development server"
        />
      </label>
    </fieldset>
  );
}
