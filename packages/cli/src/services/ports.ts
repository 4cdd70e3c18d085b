/** Where the agent serves SSH inside the tunnel. */
export const SSH_PORT = 1;
