/**
 * Rooms of the packages, the folders directly below `src`, and what each may import from its own package. The files
 * beside the rooms are `"."`; they join the rooms and may import all of them unless a row says otherwise. Rows stand in
 * the order in which a package is built: a room imports only rooms above it.
 */
export const ROOMS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  agent: {
    os: [],
    host: ["os"],
    scripts: ["os", "host"],
    services: ["os", "host"],
    control: ["host", "scripts", "services"],
    debug: ["control", "services"],
  },
};
