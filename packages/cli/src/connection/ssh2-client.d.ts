/**
 * The client of ssh2, without its server, key generator and HTTP agents, which would slow down every start. The version is
 * pinned.
 */
declare module "ssh2/lib/client.js" {
  const Client: typeof import("ssh2").Client;
  export = Client;
}
