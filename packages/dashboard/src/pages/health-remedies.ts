const REMEDIES: Readonly<Record<string, string>> = {
  EACS02: "Correct --access-url: it must be a URL that clients can use.",
  EACS03: "The server cannot reach its own access URL. Check the name, the certificate and the proxy in front.",
  EACS04: "Something else answers at the access URL. Check where the name and the proxy lead.",
  EWS01: "WebSockets do not arrive: the proxy in front must pass Upgrade and Connection headers.",
  EWS02: "The WebSocket opened but carried nothing. A proxy in front may cut or buffer it.",
  EWS03: "The WebSocket check was refused. Check what the proxy in front does with /api/v2/debug/ws.",
  EDERP01: "The relay is reached only by WebSocket: a proxy in front refuses the upgrade to DERP.",
  EDERP02: "Check the address and the certificate of that relay. While none works, connections need a direct path.",
  ESTUN01:
    "No STUN server answers: direct paths through NAT cannot be found. Check that outgoing UDP to port 3478 is allowed.",
  ESTUN02: "STUN servers see different ports: the server's network makes direct paths difficult.",
  EWP01: "The database does not store the results of proxy checks. See its section of this page.",
  EWP02: "The database does not answer about proxies. See its section of this page.",
  EWP03: "Update the proxy or this server, whichever is older.",
  EWP04: "Check the proxy's log on its machine, and whether this server reaches its access URL.",
  EWILD01: "Use --wildcard-access-url to serve apps below another domain than the deployment's.",
  EWILD02: "Browsers do not reach apps. Check where the wildcard name leads, and that the certificate covers it.",
  EWILD03: "The wildcard name has no address. Add a DNS record for it.",
  ECOOK01: "Open the deployment at a name of its own, such as coder.localhost, and set --access-url to it.",
  EIF01: "An interface carries packets that are too small for the tunnel. Raise its MTU or use another one.",
};

/** What operators can do about a code of the health report; messages with other codes say it themselves. */
export function remedyOf(code: string): string | undefined {
  return REMEDIES[code];
}
