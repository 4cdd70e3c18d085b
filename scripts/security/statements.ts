/** The security statements of the system. Their numbers are part of test titles and of comments: they never change. */

/** Statements about web apps (S) and about servers that share a database (R) each have a series of their own. */
export type StatementNumber = number | `S${number}` | `R${number}`;

export interface Statement {
  readonly number: StatementNumber;
  readonly text: string;
  /** The part that follows later, or that something other than a test shows. */
  readonly note?: string;
}

export interface Chapter {
  readonly title: string;
  readonly statements: readonly Statement[];
}

/** Statements that no test proves yet. Remove a number when it has a test. */
export const OPEN: readonly StatementNumber[] = [];

export const CHAPTERS: readonly Chapter[] = [
  {
    title: "Tokens and storage",
    statements: [
      {
        number: 1,
        text: "The session file has mode 0600 in a directory of mode 0700, also under umask 000. It is written to a temporary file and renamed; an existing wider mode is narrowed.",
      },
      {
        number: 2,
        text: "The database holds only hashes of session and agent tokens: a copy of it contains no token that works.",
      },
      {
        number: 3,
        text: "Tokens, MACs and mesh keys are compared by digests of equal length in constant time. No package compares a secret with `===`.",
      },
      {
        number: 4,
        text: "After a token was rotated or deleted, its workspace stopped, or its login ended, the token gets 401 on every route, and its open connections end within 5 s.",
      },
      {
        number: 5,
        text: "A token in a query string counts only where a WebSocket is served, where a web page cannot set headers; an `Upgrade` header that is ignored does not make it count. No token appears in a URL that is logged.",
      },
      {
        number: 6,
        text: "A client sends its token to the deployment it is configured for and to no other host: a redirect to another origin is not followed with the token.",
      },
    ],
  },
  {
    title: "Browsers",
    statements: [
      {
        number: 7,
        text: "A WebSocket upgrade with a cookie and a foreign or missing `Origin` is refused with 403. Logins by header pass.",
      },
      {
        number: 8,
        text: "A request that changes something by cookie without a CSRF proof is refused with 403. The session cookie is HttpOnly and SameSite=Lax, the one of the proof SameSite=Strict, and both are Secure on https.",
      },
      {
        number: 9,
        text: "A request with an unknown `Host` is answered with 421, also by a server on the loopback interface (DNS rebinding).",
      },
      {
        number: 10,
        text: "Every HTML page has a content security policy without `unsafe-inline` and with `frame-ancestors 'none'`. Output of a program that is shown in a page is inert: no HTML, no `javascript:` links by OSC 8, no reads of the clipboard by OSC 52.",
        note: "The part about the output of programs is shown by `packages/dashboard/src/terminal/clipboard-write.test.ts` and `packages/dashboard/src/terminal/link-target.test.ts`, and in a real browser by `packages/cli/test/browser/hostile-texts.test.ts` and `packages/cli/test/browser/terminal.test.ts`.",
      },
    ],
  },
  {
    title: "Who may reach what",
    statements: [
      {
        number: 11,
        text: "A client that asks the coordinator for an agent it may not use receives no node, no key and no endpoint, and the agent learns nothing about the client.",
      },
      {
        number: 12,
        text: "Addresses and allowed IPs that a peer publishes and that are not derived from its own id are refused and logged.",
      },
      {
        number: 13,
        text: "A packet inside the tunnel whose source is not among its peer's allowed IPs is dropped, and so is one whose destination is not our own address.",
      },
      {
        number: 14,
        text: "The server's HTTP requests to an agent follow no redirect, and go to the address of the intended agent.",
      },
      {
        number: 15,
        text: "The agent's internal services can be reached by the server and by users who may use the workspace, through the tunnel only. A forwarded port listens on the requested address, by default on loopback.",
      },
      {
        number: 16,
        text: "When a user loses the right to a workspace, an existing tunnel ends within 5 s: both sides drop the peer, and the relay drops the key. So does one whose client's control connection was lost before, also when the server has restarted meanwhile.",
        note: "The last part needs an agent of ours, which states its lost clients. While a server of several ends, what becomes of its clients is decided after up to 36 s (docs/decisions/031), and a workspace proxy may go on for up to 60 s with an app that another visitor may still use (docs/decisions/041).",
      },
    ],
  },
  {
    title: "Relay (DERP) and STUN",
    statements: [
      {
        number: 17,
        text: "The relay serves only keys that the coordinator knows. A connection with an unknown key is closed before any of its frames is forwarded.",
      },
      {
        number: 18,
        text: "A client cannot send with another's source key. Two connections with one key follow a fixed rule, and neither receives frames for another key.",
      },
      {
        number: 19,
        text: "The length of a frame is checked before memory is allocated; 64 KiB + 1 closes the connection. A slow reader loses packets at the bound of its queue; others are not affected.",
      },
      {
        number: 20,
        text: "Rates are limited per client, connections and handshakes per address. Under a flood of ten times the limit an honest client keeps at least 90 % of its packets.",
      },
      {
        number: 21,
        text: "Frames of mesh members (watching peers, closing them, forwarding) are refused from ordinary clients.",
      },
      {
        number: 22,
        text: "The STUN server answers well-formed binding requests with the magic cookie only, with at most 1.6 times their bytes, to their source address, up to a limit per source. Spoofed sources do not grow its memory.",
      },
      {
        number: 23,
        text: "A peer may name at most 32 endpoints, and probes to one address are limited, so that no peer can aim our probes at a third party. Multicast, broadcast, metadata and the tunnel's own addresses are never probed; loopback ones are, for peers on one machine without a network, within the same limits.",
      },
    ],
  },
  {
    title: "WireGuard and disco",
    statements: [
      {
        number: 24,
        text: "A captured initiation is refused later: timestamps of a peer increase strictly. The memory of them lasts while the process runs; a restarted responder may answer a replay once, with a session that no party can use.",
      },
      {
        number: 25,
        text: "A transport message that was seen, or whose counter is older than the window, is refused.",
      },
      {
        number: 26,
        text: "A wrong mac1 costs no X25519. Under load only initiations with a valid mac2 are processed; a cookie belongs to an address and lasts 120 s; proven sources are limited by host.",
      },
      {
        number: 27,
        text: "Under 50,000 junk datagrams per second a live tunnel stays up, the work per datagram is bounded, and memory stays flat.",
      },
      {
        number: 28,
        text: "A peer's address changes by an authenticated message only. Disco messages need the box key; an unauthenticated pong never moves a path.",
      },
      {
        number: 29,
        text: "Keys are renewed after 120 s or 2^60 messages and not used after 180 s or the last counter; then they are overwritten. A key agreement that gives all zeros is refused. Private keys on disk have mode 0600.",
      },
      {
        number: 30,
        text: "The cryptography reproduces the published vectors: Noise IKpsk2, RFC 8439, RFC 7693 (keyed), RFC 7748, NaCl box, RFC 5769; and it works with wireguard-go and coturn.",
      },
    ],
  },
  {
    title: "SSH, terminals, files",
    statements: [
      {
        number: 31,
        text: "An agent's host key is stable. The SSH service listens inside the tunnel only, never on an interface of the machine: the tunnel has authenticated both ends before SSH begins.",
      },
      {
        number: 32,
        text: "`config-ssh` keeps foreign content byte for byte, writes atomically and keeps the mode. No name of a workspace, path or option of a deployment can add an ssh option or a shell command.",
      },
      {
        number: 33,
        text: "Variables that a client sends pass a deny-list: names that make a program load code or that the agent sets are refused. The agent's tokens and variables of the loader are not inherited by a user's programs.",
      },
      {
        number: 34,
        text: "The id of a reconnecting terminal cannot be guessed and belongs to a user: another user who knows it gets 403.",
      },
      {
        number: 35,
        text: "Paths with `..`, encoded, absolute, through symbolic links or with NUL get 404 from every file server; downloads carry `nosniff`.",
      },
      {
        number: 36,
        text: "Sizes of windows, names of signals and subsystems and lengths of commands are bounded. A killed client leaves no process behind after the grace period.",
      },
    ],
  },
  {
    title: "Operation",
    statements: [
      {
        number: 37,
        text: "Logs at debug level contain neither an issued secret nor the value of an environment variable.",
      },
      {
        number: 38,
        text: "Errors that reach a client carry no stack, path or SQL. An unknown user and a wrong password take the same time and get the same text. Logins are rate-limited.",
      },
      {
        number: 39,
        text: "The server does not start with a default secret. Plain http on an address that is not loopback prints a warning. TLS is 1.2 or later.",
      },
      {
        number: 40,
        text: "URL, headers, body, WebSocket messages and nested protobuf have limits. A client that sends one byte at a time is disconnected, and slow requests of a few addresses keep no other out.",
        note: "WebSockets of apps are passed on as bytes: the server keeps none of their messages, so they have no limit of its own.",
      },
      {
        number: 41,
        text: "The lockfile is frozen, install scripts are on an allow-list, and a process loads at most 25 packages of others (help pages, which bring what lays them out, apart). Releases carry an SBOM and provenance, and can be made again from their tag.",
        note: "Executables come with checksums, a CycloneDX bill of materials and, where a key is given, signatures; two builds of one source are equal (docs/decisions/013). There is no provenance statement yet. Signatures of the registry (`npm audit signatures`) are not checked: pnpm has no command for it, and mirrors of the registry often serve no keys. The lockfile's digests pin what was once installed.",
      },
      {
        number: 42,
        text: "No input from the network ends the process by an exception or an unhandled rejection, and none silently switches a check off.",
      },
    ],
  },
  {
    title: "Web apps",
    statements: [
      {
        number: "S1",
        text: "Neither a program of a workspace nor its page sets a cookie of the server or of another app, replaces one or reads one. From programs names of ours and nameless cookies are dropped, `Domain` is removed, and so are `Clear-Site-Data` and `Alt-Svc`. On https every cookie of the server has the prefix `__Host-`, and a browser's login counts under that name alone.",
      },
      {
        number: "S2",
        text: "Cookie names are compared byte for byte after space and tab around them; two cookies of one name count as none.",
      },
      {
        number: "S3",
        text: "A deployment that is tried on loopback has a host name of its own for browsers, `coder.localhost`, so that programs that listen on `localhost` receive none of its cookies. A browser's login at `localhost` or an address of loopback is warned of, in the log and the health report.",
      },
      {
        number: "S4",
        text: "No program receives a cookie of the server, its session token in a header or a Bearer, its query parameters or an `X-Coder-*` header of the client.",
      },
      {
        number: "S5",
        text: "On the host of an app no route of API, relay, downloads or health answers, for any path, method or upgrade. On the server's own names no program answers.",
      },
      {
        number: "S6",
        text: "A request has one `Host`. Two of them, a target with another host, user information, other suffixes and superfluous dots lead to no program and no route.",
      },
      {
        number: "S7",
        text: "A page of another owner's app, or of any other site, cannot use a visitor's session with an app or with the API, not even for a reading request: form, fetch, image, script, style, beacon, frame, window, event stream, WebSocket.",
      },
      {
        number: "S8",
        text: "An upgrade counts a cookie only with an `Origin` that may use it: the deployment's own on each of its routes, and for an app one of the same owner's apps. Commands follow logs with a cookie and without an `Origin`, which a browser always sends.",
      },
      {
        number: "S9",
        text: "A session token counts in no query on an app host. No log line holds a token, a ticket or a session.",
      },
      {
        number: "S10",
        text: "A ticket of a sign-in works once, within 60 s, at its host, in the browser that asked. Any other use yields no cookie.",
      },
      {
        number: "S11",
        text: "A sign-in leads back to an app of this deployment and to no other address.",
      },
      {
        number: "S12",
        text: "Who may use an app follows from owner, role, share level, cap and expiry alone; a lower cap narrows shares that exist.",
      },
      {
        number: "S13",
        text: "Logout, suspension, deletion, another role or password, unsharing, expiry, rename, stop and browser-only mode end each open connection that rests on the right, of every kind, within 5 s and no other, and the next request is refused.",
      },
      {
        number: "S14",
        text: "One request in is one request out, and one answer: ambiguous framing is refused in both directions, and a connection to a program is not used again after an irregular answer.",
      },
      {
        number: "S15",
        text: "Only WebSocket upgrades pass, and only after a genuine handshake of the program; afterwards the connection reaches no route of the server.",
      },
      {
        number: "S16",
        text: "`Forwarded`, `X-Forwarded-*`, `X-Real-IP` and headers that rewrite the URL never pass from a client to a program.",
      },
      {
        number: "S17",
        text: "The proxy dials the agent and the port that the host name states, 9 or above, and nothing that a request or an answer names.",
      },
      {
        number: "S18",
        text: "A terminal belongs to the agent and the user that first used its number; another user with the number is refused, and the list of terminals names every viewer.",
      },
      {
        number: "S19",
        text: "The path of an app below a path is read once, as it came; one that could be read in two ways leads to no app.",
      },
    ],
  },
  {
    title: "Pages",
    statements: [
      {
        number: "S20",
        text: "No page of the deployment can be framed.",
      },
      {
        number: "S21",
        text: "Texts of workspaces, agents and users are text on every page, and icons are pictures of this deployment or small embedded ones: none runs script, opens a dialog or asks another host.",
      },
      {
        number: "S22",
        text: "The output of a program in a terminal runs no script, opens no window, reads no clipboard, types nothing and freezes no page; pasted text does not leave its brackets.",
      },
      {
        number: "S23",
        text: "Every page and every script has a policy without `unsafe-inline` and `unsafe-eval`, and pages require Trusted Types.",
      },
      {
        number: "S24",
        text: "An address never acts: opening a page, whatever its parameters, changes nothing. External links open web pages and known editors only.",
      },
      {
        number: "S25",
        text: "The stream of the pages has bounds: sockets of a user, subscriptions of a socket, requests in a time, and what is kept for a browser that reads slowly.",
      },
      {
        number: "S26",
        text: "No app registers a service worker for the deployment's own pages: the server hands out no script for one, and an app below a path has none.",
      },
      {
        number: "S27",
        text: "What is typed and printed in an end-to-end terminal is nowhere in the server: not in its memory, database or log. The connection of the server is used after a click alone, and a workspace that cannot prove to be the one of before is asked about.",
      },
      {
        number: "S28",
        text: "The page of `coder open terminal --local` is for one browser of one user of this machine: it listens on loopback, admits the first browser that brings its secret, under one host name and from one origin, and never gets the user's token.",
      },
    ],
  },
  {
    title: "Servers on PostgreSQL",
    statements: [
      {
        number: "R1",
        text: "The password in the URL of the database appears in no log, error or page.",
      },
      {
        number: "R2",
        text: "With `sslmode=verify-full` the database's certificate must be of a known authority and name its host; `verify-ca` checks the authority alone. An unencrypted or unverified connection that leaves the machine is warned about in the log.",
      },
      {
        number: "R3",
        text: "A server whose key file does not belong to the database cannot join, and writes nothing to it.",
      },
      {
        number: "R4",
        text: "A key file that is missing beside a used database is never replaced by a new one.",
      },
      {
        number: "R5",
        text: "A dump of the database holds no password, no token of a user or an agent, and none of the keys.",
      },
      {
        number: "R6",
        text: "A connection that has not proved the mesh key cannot list the clients of a relay, inject packets in the name of others or close them.",
      },
      {
        number: "R7",
        text: "The mesh key of a workspace proxy is its own: it opens no mesh link at the primary nor at another proxy, and a new token of the proxy makes another one.",
      },
      {
        number: "R8",
        text: "Packets that a relay of the mesh forwarded are not forwarded again, also when one of the relays lies.",
      },
      {
        number: "R9",
        text: "What another relay of the mesh sends is limited; one that names more clients than a server can have is cut off.",
      },
      {
        number: "R10",
        text: "A right that was taken away ends what is open at every server, also when the server that took it away ended before it informed the others.",
      },
      {
        number: "R11",
        text: "An agent token that was replaced connects to no server any more: what the agent has open ends at every server, and its key leaves every relay.",
      },
      {
        number: "R12",
        text: "A node that a server reads from the database has the addresses of its agent, or is left out.",
      },
      {
        number: "R13",
        text: "A tunnel that is read from the database counts only where its source is connected to the server that wrote it.",
      },
      {
        number: "R14",
        text: "A server without its database takes no new tunnels and logins where another server is well, and its relay ends keys that could not be confirmed for 15 minutes.",
      },
      {
        number: "R15",
        text: "Login attempts are limited over all servers together.",
      },
      {
        number: "R16",
        text: "The token of a workspace proxy works on the routes of that proxy only, and a user's or an agent's token on none of these.",
      },
      {
        number: "R17",
        text: "The tokens by which a workspace proxy serves apps and terminals are signed with keys of this proxy alone: another proxy and the primary refuse them.",
      },
      {
        number: "R18",
        text: "A workspace proxy has tunnels only to agents of which it serves an app or a terminal to a visitor whose right holds; others are refused and counted.",
      },
      {
        number: "R19",
        text: "A workspace proxy that registers with another address while the one that is known answers is refused, and the attempt logged. No proxy gets an address of another or of the deployment, and one that changes its address by itself serves no apps and terminals until an owner confirms it.",
      },
      {
        number: "R20",
        text: "A new token or the deletion of a workspace proxy ends its open connections to the primary within 3 s, and with them what browsers have open there; its region leaves the relay map.",
      },
      {
        number: "R21",
        text: "Probes, the public report of a workspace proxy, and the reports that servers leave for each other, reveal no address of a peer or sibling, no name of a user and no host of the database.",
      },
      {
        number: "R22",
        text: "Moving a store never overwrites one that has users, leaves the source byte for byte but for the file that names the new store, and leaves nothing behind when it fails.",
      },
      {
        number: "R23",
        text: "SQL takes values by parameters only; identifiers come from the code.",
      },
      {
        number: "R24",
        text: "What a server reads of another one is parsed with limits; a row that is not valid is left out and does not stop the reader.",
      },
    ],
  },
];
