/** Ports of the tunnel below this one belong to the agent's own services. */
export const lowestAppPort = 9;
