/** TCP ports at which an agent serves inside the tunnel. */

/** SSH for Coder's own clients; 22 is for programs that dial the workspace's address themselves. */
export const SSH_PORT = 1;
export const STANDARD_SSH_PORT = 22;
/** Terminals that outlive their connection ("reconnecting PTY"). */
export const TERMINAL_PORT = 2;
export const SPEEDTEST_PORT = 3;
/** The agent's HTTP API: listening ports, network checks, debugging. */
export const HTTP_API_PORT = 4;
/** Ports up to this one are reserved for services inside the tunnel; an agent never relays them to its host. */
export const RESERVED_PORTS_END = 8;
/** TCP connections to programs of a workspace that an agent relays for one client at once; it refuses further ones. */
export const RELAYED_CONNECTIONS_PER_CLIENT = 3072;
/** Channels of one SSH connection at once: sessions, forwarded connections, the agent's and X11's. */
export const CHANNELS_PER_SSH_CONNECTION = 512;
