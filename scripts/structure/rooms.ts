/**
 * Rooms of the packages, the folders directly below `src`, and what each may import from its own package. The files
 * beside the rooms are `"."`; they join the rooms and may import all of them unless a row says otherwise. Rows stand in
 * the order in which a package is built: a room imports only rooms above it.
 */
/** The cores that engine.ts joins; the shells in io/ and the test kits use them all. */
const ENGINE_CORES = [
  "base",
  "aead",
  "wireguard",
  "netstack",
  "stun",
  "disco",
  "derp",
  "portmap",
  "netcheck",
  "magicsock",
];

export const ROOMS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  agent: {
    os: [],
    host: ["os"],
    scripts: ["os", "host"],
    services: ["os", "host"],
    control: ["host", "scripts", "services"],
    debug: ["control", "services"],
  },
  "wg-userspace": {
    base: [],
    aead: ["base"],
    wireguard: ["base"],
    netstack: ["base"],
    stun: ["base"],
    disco: ["base"],
    derp: ["base"],
    portmap: ["base"],
    netcheck: ["base", "stun", "derp"],
    magicsock: ["base", "wireguard", "stun", "disco", "derp", "netcheck"],
    async: [],
    browser: ["base", "aead"],
    ".": ENGINE_CORES,
    io: [...ENGINE_CORES, "async", "."],
    testing: [...ENGINE_CORES, "."],
  },
  server: {
    base: [],
    config: ["base"],
    state: ["base"],
    db: ["base"],
    auth: ["base", "db"],
    workspaces: ["base", "db", "auth"],
    control: ["base", "config", "db", "auth", "workspaces"],
    relay: ["base"],
    tunnels: ["base"],
    apps: ["base", "db", "auth", "workspaces", "tunnels"],
    health: ["base", "config", "db", "control", "relay"],
    downloads: ["base"],
    install: [],
    http: [
      "base",
      "config",
      "db",
      "auth",
      "workspaces",
      "control",
      "relay",
      "tunnels",
      "apps",
      "health",
      "downloads",
      "install",
    ],
    backup: ["base", "state", "db", "auth"],
  },
};
