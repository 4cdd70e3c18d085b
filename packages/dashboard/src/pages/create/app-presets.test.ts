import { expect, test } from "vitest";
import { chosenApps } from "./app-presets.tsx";

test("ticked apps are declared, and a port is valid or left out", () => {
  expect(chosenApps({})).toEqual([]);
  expect(chosenApps({ "app-code": "on", "app-port": "5173" })).toEqual([
    { slug: "code", display_name: "VS Code", url: "http://127.0.0.1:13337" },
    { slug: "dev", display_name: "Development server", url: "http://127.0.0.1:5173" },
  ]);
  for (const port of ["", "8", "65536", "80.5", "x", "1e3x"]) expect(chosenApps({ "app-port": port })).toEqual([]);
});
