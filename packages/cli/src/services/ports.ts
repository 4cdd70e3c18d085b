/** Where the agent serves SSH inside the tunnel. */
export const SSH_PORT = 1;
/** Where terminals are that outlive their connection. */
export const TERMINAL_PORT = 2;
